"""A few numbers of an image that know nothing of anatomy: how bright, how contrasted, how black, how large."""

from __future__ import annotations

import numpy as np

__all__ = ["GRAY_STATISTICS", "IMAGE_SIZE", "gray_statistics", "image_size"]

_PERCENTILES = (5, 25, 50, 75, 95)
_BLACK, _WHITE = 0.04, 0.96
GRAY_STATISTICS = ("mean", "deviation", *(f"percentile_{p}" for p in _PERCENTILES), "black", "white")
IMAGE_SIZE = ("rows", "columns", "aspect")


def gray_statistics(image: np.ndarray) -> np.ndarray:
    """The nine ``GRAY_STATISTICS`` of an image: mean, deviation, five percentiles, parts that are black and white.

    Args:
        image: any shape, in [0, 1].

    >>> gray_statistics(np.array([[0.0, 1.0], [0.0, 1.0]])).tolist()
    [0.5, 0.5, 0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.5]
    """
    shares = (image < _BLACK).mean(), (image > _WHITE).mean()
    return np.array([image.mean(), image.std(), *np.percentile(image, _PERCENTILES), *shares], dtype=np.float64)


def image_size(image: np.ndarray) -> np.ndarray:
    """``IMAGE_SIZE`` of an image (..., H, W): logarithms of H and W, and of their ratio."""
    rows, columns = np.log(image.shape[-2:])
    return np.array([rows, columns, rows - columns])
