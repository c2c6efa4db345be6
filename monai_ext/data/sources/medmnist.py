"""The pictures of a MedMNIST file as a source of slices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.sources.source import KeyedGroups
from monai_ext.errors import DatasetError

__all__ = ["MedMNISTSource"]

_PARTS = ("train", "val", "test")


class MedMNISTSource(KeyedGroups):
    """Gray pictures of ``train_images``, ``val_images`` and ``test_images``, in this order, as 28 to 224 px files have.

    All of them are held in memory, as 8-bit arrays.

    Args:
        path: the file (.npz), as published.
        groups: of every picture, what it belongs to.
        grouped_by: what a group is.
        fingerprint: identifies the file.

    Raises:
        DatasetError: the file is damaged, is no MedMNIST file, or its pictures are not gray.
    """

    kind = "MedMNIST"
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: Path, *, groups: Sequence[str], grouped_by: str, fingerprint: str) -> None:
        self.root = path.parent
        self.held_together = tuple(groups)
        self.grouped_by = grouped_by
        self.fingerprint = fingerprint
        self._parts = _read_parts(path)
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        if len(self) != len(self.held_together):
            raise DatasetError(
                f"{path.name} has {len(self)} pictures and {len(self.held_together)} labels: it is damaged. Download it again."
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: int) -> np.ndarray:
        """One picture: float32 (rows, columns), 0 .. 255."""
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[part][index - self._starts[part]].astype(np.float32)

    def decoded_together(self, index: int) -> range:
        """Every picture stands for itself."""
        return range(index, index + 1)

    def describe(self) -> dict[str, Any]:
        """The size of the pictures, which is one for all."""
        size = list(self._parts[0].shape[1:])
        return {"sizes": 1, "smallest_rows_columns": size, "largest_rows_columns": size}


def _read_parts(path: Path) -> list[np.ndarray]:
    try:
        with np.load(path) as arrays:
            parts = [np.asarray(arrays[f"{part}_images"]) for part in _PARTS]
    except Exception as error:  # zipfile, numpy and the file system have errors of many types for a damaged file
        raise DatasetError(f"{path} cannot be read as a MedMNIST file: {error!r}. Download it again.") from error
    for name, part in zip(_PARTS, parts, strict=True):
        if part.ndim != 3 or part.dtype != np.uint8:
            raise DatasetError(
                f"The {name} images of {path.name} have shape {part.shape} and type {part.dtype}: gray pictures"
                " (n, rows, columns) of type uint8 can be read."
            )
    return parts
