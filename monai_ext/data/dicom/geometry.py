"""Where slices lie: normals, positions along them, and what is irregular about the spacing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["SeriesFinding", "find_irregularities", "is_orientation", "normal_of", "same_orientation", "shear_degrees"]

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of two direction cosines that count as one orientation (0.06 degrees)."""

POSITION_TOLERANCE_MM = 0.01
SPACING_TOLERANCE = 0.05
"""Distances that differ by less than 5 % count as equal: scanners round the table's position."""

_LEAST_REGULAR = 0.5


@dataclass(frozen=True)
class SeriesFinding:
    """Something irregular about a series: ``kind`` is a code, ``text`` says it in a sentence without identity."""

    kind: str
    text: str


def is_orientation(cosines: Sequence[float]) -> bool:
    """Whether six numbers are two perpendicular unit vectors (a hundredth is tolerated)."""
    row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
    lengths = abs(np.linalg.norm(row) - 1) < 0.01 and abs(np.linalg.norm(column) - 1) < 0.01
    return bool(lengths and abs(row @ column) < 0.01)


def same_orientation(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two orientations agree within ``ORIENTATION_TOLERANCE``."""
    return all(abs(a - b) <= ORIENTATION_TOLERANCE for a, b in zip(first, second, strict=True))


def normal_of(cosines: Sequence[float]) -> np.ndarray:
    """The unit vector (3,) that slices are stacked along."""
    normal = np.cross(cosines[:3], cosines[3:])
    return normal / np.linalg.norm(normal)


def shear_degrees(cosines: Sequence[float], origins_mm: Sequence[Sequence[float]]) -> float:
    """Angle between the normal and the line through the slices' first pixels: that of a tilted gantry, else 0."""
    path = np.subtract(origins_mm[-1], origins_mm[0])
    length = float(np.linalg.norm(path))
    if length < POSITION_TOLERANCE_MM:
        return 0.0
    return math.degrees(math.acos(min(1.0, abs(float(normal_of(cosines) @ path)) / length)))


def find_irregularities(positions_mm: Sequence[float]) -> tuple[SeriesFinding, ...]:
    """Look for duplicate positions, gaps and varying spacing.

    Where at least half of the distances agree, a distance that is a multiple of them is a gap, any other is varying
    spacing; where fewer agree, the spacing varies.

    Args:
        positions_mm: in ascending order.
    """
    distances = np.diff(np.asarray(positions_mm, dtype=np.float64))
    duplicates = int((distances < POSITION_TOLERANCE_MM).sum())
    distances = distances[distances >= POSITION_TOLERANCE_MM]
    findings = []
    if duplicates:
        findings.append(SeriesFinding("duplicate_positions", f"{duplicates} slices lie where another one lies"))
    if not len(distances):
        return tuple(findings)
    usual = float(np.median(distances))
    regular = np.abs(distances - usual) <= SPACING_TOLERANCE * usual
    multiples = np.rint(distances / usual)
    gaps = (multiples >= 2) & (np.abs(distances / usual - multiples) <= SPACING_TOLERANCE * multiples)
    gaps &= regular.mean() >= _LEAST_REGULAR
    if gaps.any():
        missing = int((multiples[gaps] - 1).sum())
        findings.append(SeriesFinding("gap", f"{missing} slices are missing in {int(gaps.sum())} gaps"))
    if not (regular | gaps).all():
        text = f"the distance of slices varies from {distances.min():.3g} to {distances.max():.3g} mm"
        findings.append(SeriesFinding("variable_spacing", text))
    return tuple(findings)
