"""From decoded slices to a stack that can be stored: resampled, rounded, with the rows of its index."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.ingestion.resampling import in_plane_shape, resample_in_plane
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.files import file_sha256

__all__ = ["Plane", "file_unit", "hash_content", "series_key"]


@dataclass
class Plane:
    """How the slices of a stack are made smaller and rounded, and what was cut off.

    Args:
        rows: height before.
        columns: width before.
        in_plane: length of the shorter side afterwards; as before when None.
        dtype: int16 or uint8.
    """

    rows: int
    columns: int
    in_plane: int | None
    dtype: Any
    clipped: int = field(default=0, init=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape afterwards."""
        return in_plane_shape(self.rows, self.columns, shorter_side=self.in_plane)

    def spacing(self, row_mm: float | None, column_mm: float | None) -> dict[str, float | None]:
        """Distances of pixels afterwards, as columns of the index."""
        rows, columns = self.shape
        return {
            "row_spacing_mm": None if row_mm is None else row_mm * (self.rows / rows),
            "column_spacing_mm": None if column_mm is None else column_mm * (self.columns / columns),
        }

    def convert(self, image: np.ndarray, *, into: np.ndarray) -> None:
        """Write a slice into its place as whole numbers; values that do not fit are clipped and counted."""
        small = resample_in_plane(image, shape=self.shape)
        limits = np.iinfo(self.dtype)
        rounded = np.rint(small)
        low, high = float(rounded.min()), float(rounded.max())
        if low < limits.min or high > limits.max:
            self.clipped += int(((rounded < limits.min) | (rounded > limits.max)).sum())
            np.clip(rounded, limits.min, limits.max, out=rounded)
        into[:] = rounded

    def provenance(self) -> dict[str, Any]:
        """What was done to the pixels."""
        made = {"original_rows": self.rows, "original_columns": self.columns, "clipped_pixels": self.clipped}
        return made | (
            {"in_plane": self.in_plane, "filter": "triangle"} if self.shape != (self.rows, self.columns) else {}
        )


def file_unit(name: str, pseudonyms: Pseudonyms) -> bytes:
    """What a volume or picture is in the ledger: every file is on its own."""
    return pseudonyms.digest("unit", "file", name)


def series_key(series: bytes, pseudonyms: Pseudonyms, *, part: int = 1) -> str:
    """The key of a series in the store, of which a large one, or one that came in pieces, has several parts."""
    return pseudonyms.of("key", series, part)


def hash_content(path: Path) -> bytes:
    """SHA-256 of a file."""
    return bytes.fromhex(file_sha256(path))
