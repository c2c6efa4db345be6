"""Small images with masks for the tests of segmentation: a bright disc on a smooth ground is what is marked."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

SECTIONS = ("train", "train", "train", "val", "test", "test")
LPS = np.diag([-1.5, -1.5, 4.0, 1.0])
"""An affine of columns to the left, rows to the back, slices to the head."""


def disc(number: int, *, shape: tuple[int, int] = (40, 44)) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask, (rows, columns) uint8; the mask is 0 and 255."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    middle = 12 + (5 * number) % 16, 12 + (7 * number) % 20
    mask = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < (6 + number % 4) ** 2
    ground = 60 + 20 * np.sin(rows / 6 + number) * np.cos(columns / 9)
    return (ground + 110 * mask).astype(np.uint8), mask.astype(np.uint8) * 255


def write_masked_pictures(folder: Path, *, count: int = 24) -> Path:
    """A folder with ``masks.csv`` (file, mask, patient_id, split), two pictures of each patient."""
    lines = ["file,mask,patient_id,split"]
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        image, mask = disc(number)
        Image.fromarray(image).save(folder / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:02d}.png")
        patient = number // 2
        lines.append(f"images/{number:02d}.png,masks/{number:02d}.png,p{patient},{SECTIONS[patient % len(SECTIONS)]}")
    (folder / "masks.csv").write_text("\n".join(lines) + "\n")
    return folder


def volume(number: int, *, slices: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units, int16, and label map, uint8, (columns, rows, slices)."""
    planes = [disc(number + place) for place in range(slices)]
    scan = np.stack([image.astype(np.int16) * 4 - 900 for image, _ in planes], axis=-1)
    return scan.transpose(1, 0, 2), np.stack([mask // 255 for _, mask in planes], axis=-1).transpose(1, 0, 2)


def write_masked_volumes(folder: Path, *, count: int = 5) -> Path:
    """A folder with ``images`` and ``masks`` of NIfTI volumes."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        for name, voxels in zip(("images", "masks"), volume(number), strict=True):
            nibabel.save(nibabel.Nifti1Image(voxels, LPS), folder / name / f"scan_{number}.nii.gz")
    return folder
