"""Two small square versions of a picture, by which it can be compared with others of other sizes."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["FRAMINGS", "framed"]

FRAMINGS = ("content", "whole")
_DIFFERENT = 0.0625
_LEAST_PART, _LEAST_SIDE = 0.02, 16


def framed(picture: np.ndarray, *, side: int) -> np.ndarray:
    """The two ``FRAMINGS`` of a picture: its content stretched to a square, and the whole of it, centred.

    The first makes up for other margins, the second for other proportions: what a neighbour slice shows at its edge
    changes where its content ends.

    Args:
        picture: (H, W) in [0, 1].
        side: S, in pixels.

    Returns:
        (2, S, S) float16 in [0, 1].
    """
    height, width = picture.shape
    scale = side / max(height, width)
    rows, columns = max(8, round(height * scale)), max(8, round(width * scale))
    whole = np.full((side, side), _margin(picture), dtype=np.float32)
    top, left = (side - rows) // 2, (side - columns) // 2
    whole[top : top + rows, left : left + columns] = _resized(picture, rows, columns)
    return np.stack([_resized(_content(picture), side, side), whole]).astype(np.float16)


def _content(picture: np.ndarray) -> np.ndarray:
    """The picture without margins of one gray level."""
    differs = np.abs(picture - _margin(picture)) > _DIFFERENT
    rows = np.flatnonzero(differs.mean(axis=1) > _LEAST_PART)
    columns = np.flatnonzero(differs.mean(axis=0) > _LEAST_PART)
    if len(rows) < _LEAST_SIDE or len(columns) < _LEAST_SIDE:
        return picture
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _margin(picture: np.ndarray) -> float:
    return float(np.median(np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])))


def _resized(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Antialiased where it becomes smaller."""
    image = Image.fromarray(np.ascontiguousarray(picture, dtype=np.float32))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))
