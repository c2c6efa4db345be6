"""A DICOM object as the bytes of a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["as_bytes"]


def as_bytes(dataset: Dataset) -> bytes:
    """A DICOM object as a file."""
    with io.BytesIO() as buffer:
        dataset.save_as(buffer)
        return buffer.getvalue()
