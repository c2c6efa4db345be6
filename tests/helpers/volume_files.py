"""Volumes in the formats that ITK reads and writes, made by ITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FORMATS = {
    "MetaImage in two files": ("a.mhd", False),
    "MetaImage in two files, compressed": ("a.mhd", True),
    "MetaImage": ("a.mha", False),
    "NRRD": ("a.nrrd", False),
    "NRRD, compressed": ("a.nrrd", True),
    "NRRD in two files": ("a.nhdr", False),
}
"""Of every format a name of a file, and whether ITK is to compress it."""


def ct_values(shape: tuple[int, int, int] = (4, 5, 6)) -> np.ndarray:
    """Int16 values in the order z, y, x; no two are equal, some are negative."""
    return (np.arange(np.prod(shape)).reshape(shape) - 50).astype(np.int16)


def write_itk(
    file: Path,
    values: np.ndarray,
    *,
    spacing: tuple[float, float, float] = (0.7, 0.8, 2.5),
    origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
    direction: np.ndarray | None = None,
    compressed: bool = False,
    meta: dict[str, str] | None = None,
) -> Path:
    """Write (z, y, x) values; spacing, origin and direction are ITK's, in LPS. NIfTI is written as well."""
    import SimpleITK

    image: Any = SimpleITK.GetImageFromArray(values, isVector=False)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction.ravel().tolist())
    for key, value in (meta or {}).items():
        image.SetMetaData(key, value)
    file.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(file), compressed)
    return file


def change_header(file: Path, before: str, after: str) -> Path:
    """Replace text in a header; the values stay where they are."""
    content = file.read_bytes()
    assert before.encode() in content
    file.write_bytes(content.replace(before.encode(), after.encode(), 1))
    return file
