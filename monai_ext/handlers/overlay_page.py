"""A page of cases with the outlines of mask and prediction: the worst, those in the middle, and the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from monai_ext.data import SegmentedImages

if TYPE_CHECKING:
    from PIL.Image import Image

    from monai_ext.handlers.segmentation_files import SegmentedCase

__all__ = ["draw_overlay_page"]

_TILE, _CAPTION, _GAP, _COLUMNS, _ROWS = 224, 18, 6, 4, ("lowest", "median", "highest")
_BACKGROUND, _INK = (24, 24, 24), (208, 208, 208)
_REFERENCE, _PREDICTED = (0, 158, 255), (255, 159, 0)
"""Blue and orange, which colour-blind people tell apart."""


def draw_overlay_page(images: SegmentedImages, cases: Sequence[SegmentedCase], dice: Sequence[float]) -> Image:
    """Draw up to four cases each of the lowest, the median and the highest Dice.

    Of a volume the slice is shown on which most is marked in the reference. Outlines are one pixel of the image wide:
    blue is the mask, orange the prediction; where both agree, orange covers blue.

    Args:
        images: that were judged.
        cases: in any order.
        dice: of every case; those without are left out unless there is no other.
    """
    from PIL import Image, ImageDraw

    order = [number for number in np.argsort(dice) if np.isfinite(dice[number])] or list(range(len(cases)))
    middle = max(0, len(order) // 2 - _COLUMNS // 2)
    rows = {"lowest": order[:_COLUMNS], "median": order[middle : middle + _COLUMNS], "highest": order[-_COLUMNS:]}
    step = _TILE + _CAPTION + _GAP
    page = Image.new("RGB", (_GAP + _COLUMNS * (_TILE + _GAP), _CAPTION + len(_ROWS) * step), _BACKGROUND)
    pen = ImageDraw.Draw(page)
    pen.text((_GAP, 2), "mask", fill=_REFERENCE, font_size=12)
    pen.text((_GAP + 40, 2), "prediction", fill=_PREDICTED, font_size=12)
    for line, name in enumerate(_ROWS):
        for column, number in enumerate(rows[name]):
            left, top = _GAP + column * (_TILE + _GAP), _CAPTION + line * step
            pen.text((left, top), f"{name} Dice {dice[number]:.3f}, case {number}", fill=_INK, font_size=11)
            tile = _tile(images, cases[number])
            page.paste(tile, (left, top + _CAPTION))
    return page


def _tile(images: SegmentedImages, case: SegmentedCase) -> Image:
    from PIL import Image

    place = int(np.argmax((case.reference > 0).sum(axis=(1, 2)) * 1e6 + (case.predicted > 0).sum(axis=(1, 2))))
    picture = _picture(images.images[case.indices[place]])
    for numbers, colour in ((case.reference[place], _REFERENCE), (case.predicted[place], _PREDICTED)):
        picture[_outline(numbers)] = colour
    scale = _TILE / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)


def _picture(image: Tensor) -> np.ndarray:
    """(H, W, 3), uint8, of an image (C, H, W) in [0, 1]; the first channel is shown."""
    gray = (image[0].float().clamp(0, 1) * 255).round().byte().numpy()
    return np.repeat(gray[..., None], 3, axis=-1)


def _outline(numbers: np.ndarray) -> np.ndarray:
    """Pixels of each class that touch another class, inside the image."""
    from scipy.ndimage import maximum_filter, minimum_filter

    return (numbers > 0) & (maximum_filter(numbers, 3) != minimum_filter(numbers, 3))
