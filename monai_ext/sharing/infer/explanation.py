"""Where a classifier looked: Grad-CAM over the image at its own size, with its scale, the class and its probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from monai_ext.sharing.infer.answering import Network

__all__ = ["SCALE_WIDTH", "draw_explanation", "draw_scale", "explain", "overlay"]

SCALE_WIDTH = 64
"""Pixels of the colour scale with its numbers."""

_BACKGROUND, _TEXT = (16, 20, 26), (225, 230, 235)
_MARGIN, _LINE, _BAR, _LEAST_WIDTH = 8, 20, 14, 320
_HEAT_SHARE, _LEAST_SHARE = 0.45, 0.15


def explain(network: Network, image: Tensor, class_number: int) -> np.ndarray:
    """What of an image spoke for a class (Selvaraju et al. 2017, "Grad-CAM"), at the image's own size.

    Args:
        network: the classifier.
        image: (1, H, W) in [0, 1].
        class_number: of the class that is asked about.

    Returns:
        (H, W) in [0, 1], in parts of the strongest place of this image; all 0 where nothing spoke for the class.
    """
    heat = network.grad_cam(network.inputs([image]), class_idx=class_number)
    heat = torch.nn.functional.interpolate(heat, size=tuple(image.shape[-2:]), mode="bilinear")
    values = heat[0, 0].detach().cpu().numpy()
    strongest = float(values.max())
    return (values / strongest).clip(0, 1) if strongest > 0 else np.zeros_like(values)


def draw_explanation(image: np.ndarray, heat: np.ndarray, caption: Sequence[str]) -> np.ndarray:
    """The image, beside it the same under the heat with its scale, and a caption: uint8 (H', W', 3).

    Pixels of the image are neither resized nor cut: it lies at (row, column) = (8, 8), its overlay 8 + W further right.

    Args:
        image: (H, W) in [0, 1].
        heat: (H, W) in [0, 1], of :func:`explain`.
        caption: lines of text.
    """
    height, width = image.shape
    wide = max(2 * width + 3 * _MARGIN + SCALE_WIDTH, _LEAST_WIDTH)
    tall = max(height, 4 * _LINE) + 2 * _MARGIN + _LINE * len(caption)
    page = Image.new("RGB", (wide, tall), _BACKGROUND)
    gray = (image.clip(0, 1) * 255).round().astype(np.uint8)
    page.paste(Image.fromarray(np.repeat(gray[..., None], 3, axis=2)), (_MARGIN, _MARGIN))
    page.paste(Image.fromarray(overlay(gray, heat)), (2 * _MARGIN + width, _MARGIN))
    page.paste(draw_scale(max(height, 4 * _LINE)), (3 * _MARGIN + 2 * width, _MARGIN))
    draw = ImageDraw.Draw(page)
    for number, text in enumerate(caption):
        place = (_MARGIN, tall - _LINE * (len(caption) - number))
        draw.text(place, text, fill=_TEXT, font=ImageFont.load_default(14))
    return np.asarray(page)


def draw_scale(height: int) -> Image.Image:
    """The colours of the heat from 1 down to 0, over middle gray, with numbers beside them."""
    scale = Image.new("RGB", (SCALE_WIDTH, height), _BACKGROUND)
    steps = np.repeat(np.linspace(1, 0, height)[:, None], _BAR, axis=1)
    scale.paste(Image.fromarray(overlay(np.full(steps.shape, 128, np.uint8), steps)), (0, 0))
    draw = ImageDraw.Draw(scale)
    for value, row in ((1, 0), (0.5, (height - _LINE) // 2), (0, height - _LINE)):
        draw.text((_BAR + 4, row), f"{value:g}", fill=_TEXT, font=ImageFont.load_default(14))
    return scale


def overlay(gray: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Gray levels (H, W) as uint8 under colours that cover them the more, the stronger the heat (H, W) is."""
    from matplotlib import colormaps

    colours = colormaps["inferno"](heat)[..., :3] * 255
    share = _HEAT_SHARE * heat[..., None] + _LEAST_SHARE
    return np.clip((1 - share) * gray[..., None] + share * colours, 0, 255).astype(np.uint8)
