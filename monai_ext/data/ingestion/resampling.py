"""Makes slices smaller within their plane, with antialiasing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

__all__ = ["in_plane_shape", "resample_in_plane", "triangle_weights"]


def in_plane_shape(rows: int, columns: int, *, shorter_side: int | None) -> tuple[int, int]:
    """Shape whose shorter side has ``shorter_side`` pixels, with the same proportions; never larger than before."""
    if shorter_side is None or min(rows, columns) <= shorter_side:
        return rows, columns
    scale = shorter_side / min(rows, columns)
    return max(shorter_side, round(rows * scale)), max(shorter_side, round(columns * scale))


def resample_in_plane(image: np.ndarray, *, shape: tuple[int, int]) -> np.ndarray:
    """Resample (rows, columns) to a smaller ``shape``, float32.

    Each axis is filtered with a triangle as wide as the reduction (bilinear with antialiasing, as Pillow and PyTorch
    do), so that fine structure is averaged and not turned into false patterns. Means are preserved.
    """
    if image.shape == shape:
        return image.astype(np.float32, copy=False)
    down, across = (_triangle_weights(*lengths) for lengths in zip(image.shape, shape, strict=True))
    return down @ image.astype(np.float32, copy=False) @ across.T


def _triangle_weights(length: int, size: int) -> np.ndarray:
    return triangle_weights(length, size, step=length / size)


@lru_cache(maxsize=16)
def triangle_weights(length: int, size: int, *, step: float) -> np.ndarray:
    """Weights (size, length) of each old pixel in each new one; rows sum to one.

    New pixels lie ``step`` old ones apart, with as much room before the first as behind the last. Beyond the outermost
    old pixels these are continued. The triangle reaches ``step`` to both sides, at least 1.
    """
    reach = max(1.0, step)
    margin = 0.0 if step == length / size else (length - size * step) / 2
    centers = (np.arange(size) + 0.5) * step - 0.5 + margin
    distances = np.abs(np.arange(length)[None] - np.clip(centers, 0, length - 1)[:, None])
    weights = np.clip(1 - distances / reach, 0.0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
