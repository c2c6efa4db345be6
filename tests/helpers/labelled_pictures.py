"""Small labelled pictures for the tests of classification bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SECTIONS = ("train", "train", "val", "test")


def gray_picture(number: int, *, bright: bool, shape: tuple[int, int] = (40, 44)) -> np.ndarray:
    """A smooth picture (rows, columns), uint8; those of one class are brighter."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    waves = np.sin(5 * rows + number) * np.cos(7 * columns)
    return (60 + 40 * waves + 80 * bright + number % 3).astype(np.uint8)


def write_labelled_pictures(folder: Path, classes: Sequence[str] = ("NonCOVID", "COVID")) -> Path:
    """A folder with ``labels.csv`` (file, label, patient_id, split) and its pictures: eight a class, two of a patient.

    Of each class's four patients two are for training, one for validation and one for test.
    """
    lines = ["file,label,patient_id,split"]
    (folder / "images").mkdir(parents=True)
    for number in range(8 * len(classes)):
        label, patient = number % len(classes), number // len(classes) // 2
        name = f"images/{number:02d}.png"
        Image.fromarray(gray_picture(number, bright=label == 1)).save(folder / name)
        lines.append(f"{name},{classes[label]},p{patient}{label},{SECTIONS[patient]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
