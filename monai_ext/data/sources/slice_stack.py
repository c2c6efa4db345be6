"""Slices of a source that lie behind each other: a volume, or the reason why they are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monai_ext.data.dicom.geometry import find_irregularities

__all__ = ["SliceStack", "slice_distance", "stack_fault"]

_FEWEST_SLICES = 2
_LARGEST_TILT_DEG = 0.5


@dataclass(frozen=True)
class SliceStack:
    """The slices of one scan, in ascending position along their common normal.

    Args:
        name: what it is called among the user's own files, which may tell who the patient is and stays there.
        indices: which slices of the source.
        shape: number, height and width of the slices.
        spacing_mm: distances of slices, rows and columns.
        fingerprint: identifies the data of this scan, whatever lies beside it.
        fault: why these slices make up no volume; None where they do.
    """

    name: str
    indices: Sequence[int]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    fingerprint: str
    fault: str | None = None


def slice_distance(positions_mm: Sequence[float]) -> float:
    """The usual distance of neighbouring slices; NaN of a single one."""
    return float(np.median(np.diff(positions_mm))) if len(positions_mm) > 1 else float("nan")


def stack_fault(
    positions_mm: Sequence[float],
    *,
    spacing_mm: Sequence[float | None],
    tilt_deg: float | None = None,
) -> str | None:
    """Why slices make up no volume, as the end of a sentence; None where they do.

    Args:
        positions_mm: along the normal, ascending; a position that is not known is NaN.
        spacing_mm: distances of rows and columns; None where the file does not say.
        tilt_deg: of the gantry.

    >>> stack_fault([0.0, 5.0, 10.0, 20.0], spacing_mm=(1.0, 1.0))
    '1 slices are missing in 1 gaps'
    """
    if len(positions_mm) < _FEWEST_SLICES:
        return f"it has {len(positions_mm)} slice"
    if not np.isfinite(np.asarray(positions_mm, dtype=np.float64)).all():
        return "the positions of its slices are not known"
    if any(side is None or not np.isfinite(side) or side <= 0 for side in spacing_mm):
        return "the distances of its pixels are not known"
    if tilt_deg is not None and abs(tilt_deg) > _LARGEST_TILT_DEG:
        return (
            f"its gantry was tilted by {abs(tilt_deg):.3g} degrees, so that its slices are shifted against each other"
        )
    findings = find_irregularities(positions_mm)
    return " and ".join(finding.text for finding in findings) or None
