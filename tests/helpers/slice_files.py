"""Tiny folders of pictures, NIfTI volumes and DICOM series for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, *, count: int = 4, rows: int = 20, columns: int = 24) -> Path:
    """``count`` gray PNGs; all pixels of picture n are n."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((rows, columns), number, dtype=np.uint8)).save(folder / f"{number:03d}.png")
    return folder


def write_volume(file: Path, values: np.ndarray, *, affine: np.ndarray | None = None) -> Path:
    """A NIfTI volume (x, y, z); RAS with 1 mm voxels when no affine is given."""
    import nibabel

    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), file)
    return file


def write_series(folder: Path, *, slices: int = 3, size: int = 16, number: int = 1, value: int = 0) -> Path:
    """A DICOM series of a phantom patient whose pixels are all ``value`` HU."""
    from monai_ext.data.phantoms import PhantomSeries
    from monai_ext.data.phantoms.dicom import write_dicom_series

    volume = np.full((slices, size, size), value, dtype=np.int16)
    positions = tuple(5.0 * index for index in range(slices))
    write_dicom_series(PhantomSeries(volume, "head", "SOFT", 1.0, positions, 5.0, (0.0, 0.0)), folder, number=number)
    return folder
