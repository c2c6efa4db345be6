"""Brings a stack of slices to a spacing while it is read: never more of it than a few slices is in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from monai_ext.data.ingestion.resampling import triangle_weights

__all__ = ["AIR_HU", "resampled_shape", "resampled_slices"]

AIR_HU = -1024
"""Lowest value of the Hounsfield scale; what is lower is padding outside the scanner's field of view."""


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], *, wanted_mm: Sequence[float]
) -> tuple[int, int, int]:
    """Voxels of a volume at another spacing: as many as cover its extent, rounded, at least one an axis.

    >>> resampled_shape((64, 128, 128), (5.0, 3.0, 3.0), wanted_mm=(1.5, 1.5, 1.5))
    (213, 256, 256)
    """
    sides = zip(shape, spacing_mm, wanted_mm, strict=True)
    depth, height, width = (max(1, round(count * side / wanted)) for count, side, wanted in sides)
    return depth, height, width


def resampled_slices(
    read: Callable[[int], np.ndarray],
    *,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    wanted_mm: Sequence[float],
) -> Iterator[np.ndarray]:
    """Slices of the volume at the wanted spacing, one after the other.

    Each axis is filtered with a triangle as wide as the reduction asks for, and linear interpolation where nothing is
    reduced: a sum over neighbouring slices along the first axis, so that a volume of any length passes through. Values
    below air are taken for air first, or padding would darken what lies beside it.

    Args:
        read: gives slice number i, (height, width) in HU; each is asked for once, in order.
        shape: number, height and width of the slices.
        spacing_mm: their distances, and those of their rows and columns.
        wanted_mm: the same of the result.

    Yields:
        (height, width), int16, as many as :func:`resampled_shape` says.
    """
    sizes = resampled_shape(shape, spacing_mm, wanted_mm=wanted_mm)
    steps = [wanted / side for side, wanted in zip(spacing_mm, wanted_mm, strict=True)]
    along, down, across = (
        triangle_weights(length, size, step=step) for length, size, step in zip(shape, sizes, steps, strict=True)
    )
    kept: deque[np.ndarray] = deque()
    first = 0  # number of the slice that kept[0] was made of
    for weights in along:
        wanted = np.flatnonzero(weights)
        while first + len(kept) <= wanted[-1]:
            plane = np.maximum(read(first + len(kept)), AIR_HU, dtype=np.float32)
            kept.append(down @ plane @ across.T)
        while first < wanted[0]:
            kept.popleft()
            first += 1
        mixed = sum(weights[number] * kept[number - first] for number in wanted)
        yield np.rint(mixed).clip(AIR_HU, np.iinfo(np.int16).max).astype(np.int16)
