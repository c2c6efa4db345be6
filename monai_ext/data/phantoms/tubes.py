"""Tubes that phantoms are painted with: vessels, bronchi, bowel.

A chest has thousands of pieces of vessels, each of which covers a few pixels of a slice. The distances of all are
computed as one array: for so few pixels, calling NumPy takes longer than what it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monai_ext.data.phantoms.shapes import Box, Patch, Plane, Values

__all__ = ["Tubes"]


@dataclass(frozen=True)
class Tubes:
    """Straight pieces with round ends. Arrays of n pieces; distances to them are exact.

    Args:
        start, end: (n, 3) in mm.
        start_radius, end_radius: (n,) in mm.
    """

    start: np.ndarray
    end: np.ndarray
    start_radius: np.ndarray
    end_radius: np.ndarray

    @classmethod
    def along(cls, points: Sequence[Sequence[float]], radius: float | Sequence[float]) -> Tubes:
        """One tube through ``points`` (x, y, z) with one radius, or one at every point."""
        line = np.asarray(points, dtype=np.float64)
        radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(line))
        return cls(line[:-1], line[1:], radii[:-1], radii[1:])

    def patches(self, plane: Plane, *, grow: float = 0.0) -> list[Patch]:
        """Signed distances around every piece that the slice meets, each radius made larger by ``grow`` mm."""
        near = self._near(plane, grow)
        if near is None:
            return []
        parts = np.split(near.distance, near.first[1:])
        return [Patch(box, distance.reshape(_shape(box))) for box, distance in zip(near.boxes, parts, strict=True)]

    def paint(self, plane: Plane, hu: Values, *, grow: float = 0.0, within: np.ndarray | None = None) -> None:
        """Paint all pieces, one after the other, as :meth:`Plane.paint` would."""
        near, shape = self._near(plane, grow), plane.hu.shape
        if near is None:
            return
        distance = near.distance
        if within is not None:
            distance = np.maximum(distance, np.broadcast_to(within, shape)[near.rows, near.columns])
        cover = np.clip(0.5 - distance / plane.pixel_mm, 0, 1)
        material, seen = np.broadcast_to(hu, shape), np.maximum.reduceat(cover, near.first) > 0
        last = [*near.first[1:], len(cover)]
        for number in np.flatnonzero(seen):
            box = near.boxes[number]
            below = plane.hu[box]
            part = cover[near.first[number] : last[number]].reshape(below.shape)
            below += part * (material[box] - below)

    def _near(self, plane: Plane, grow: float) -> _Near | None:
        """The pixels near each piece that the slice meets, in the order of the pieces; None where there are none."""
        radius = np.maximum(self.start_radius, self.end_radius) + grow
        low = np.minimum(self.start[:, 2], self.end[:, 2]) - radius - plane.pixel_mm
        high = np.maximum(self.start[:, 2], self.end[:, 2]) + radius + plane.pixel_mm
        met = np.flatnonzero((low < plane.z) & (plane.z < high))
        a, b = self.start[met].astype(np.float32), self.end[met].astype(np.float32)
        r0, r1 = ((radii[met] + grow).astype(np.float32) for radii in (self.start_radius, self.end_radius))
        middle, half = (a + b) / 2, np.abs(b - a) / 2 + np.maximum(r0, r1)[:, None] + plane.pixel_mm
        boxes = [plane.box(*center[:2], *reach[:2]) for center, reach in zip(middle, half, strict=True)]
        seen = [number for number, box in enumerate(boxes) if 0 not in _shape(box)]
        if not seen:
            return None
        a, b, r0, r1, boxes = a[seen], b[seen], r0[seen], r1[seen], [boxes[number] for number in seen]
        first, piece, rows, columns = _pixels(boxes)
        dx, dy, dz = (
            plane.x[0, columns] - a[piece, 0],
            plane.y[rows, 0] - a[piece, 1],
            (np.float32(plane.z) - a[:, 2])[piece],
        )
        along = b - a
        length = np.array([max(float(way @ way), 1e-6) for way in along], dtype=np.float32)
        along = along[piece]
        t = np.clip((dx * along[:, 0] + dy * along[:, 1] + dz * along[:, 2]) / length[piece], 0, 1)
        away = np.sqrt((dx - t * along[:, 0]) ** 2 + (dy - t * along[:, 1]) ** 2 + (dz - t * along[:, 2]) ** 2)
        return _Near(boxes, first, rows, columns, away - (r0[piece] + t * (r1 - r0)[piece]))


class _Near(NamedTuple):
    """Pixels of boxes, one box after the other: where each box begins, rows, columns, and distances in mm."""

    boxes: list[Box]
    first: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    distance: np.ndarray


def _pixels(boxes: Sequence[Box]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where each box begins, and of each pixel the box's number, the row and the column."""
    heights, widths = np.array([_shape(box) for box in boxes], dtype=int).reshape(-1, 2).T
    sizes = heights * widths
    first = np.cumsum(sizes) - sizes
    piece = np.repeat(np.arange(len(boxes)), sizes)
    row, column = np.divmod(np.arange(len(piece)) - first[piece], widths[piece])
    corner = np.array([[rows.start, columns.start] for rows, columns in boxes], dtype=int).reshape(-1, 2)
    return first, piece, row + corner[piece, 0], column + corner[piece, 1]


def _shape(box: Box) -> tuple[int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start
