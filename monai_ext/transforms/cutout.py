"""A rectangle that is taken out of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monai_ext.transforms.batch_transform import BatchTransform, apply_where, check_batch, check_probability
from monai_ext.transforms.crop_boxes import CropBoxes

__all__ = ["Cutout", "RandCutout"]


class Cutout(NamedTuple):
    """What was drawn for B images: ``chosen`` (B,) boolean; ``boxes`` (B, 4) top, left, height, width in pixels."""

    chosen: torch.Tensor
    boxes: torch.Tensor


class RandCutout(BatchTransform[Cutout]):
    """Paint a random rectangle with one value (DeVries and Taylor 2017; Zhong et al., AAAI 2020).

    The rectangle lies within the image. It takes the pixels whose centres it holds.

    Args:
        area: smallest and largest area of the rectangle, as a fraction of the image's, within (0, 1].
        ratio: smallest and largest width / height of the rectangle.
        fill: the value, within [0, 1]; 0 is the window's lower bound.
        probability: of changing an image.

    Raises:
        ValueError: a range or number that makes no sense.

    Example:
        >>> cutout = RandCutout(area=[0.05, 0.2])
        >>> cutout(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def __init__(
        self,
        *,
        area: Sequence[float] = (0.02, 0.2),
        ratio: Sequence[float] = (0.5, 2.0),
        fill: float = 0.0,
        probability: float = 0.5,
    ) -> None:
        if not 0 <= fill <= 1:
            raise ValueError(f"fill is a value of the windowed range [0, 1], but {fill} was given.")
        self.boxes = CropBoxes(area, ratio, name="area")
        self.fill = float(fill)
        self.probability = check_probability("probability", probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> Cutout:
        """Draw always as many numbers an image."""
        batch, _, height, width = check_batch(images)
        draws = torch.rand(batch, CropBoxes.DRAWS + 1, generator=generator, dtype=torch.float64)
        return Cutout(
            chosen=draws[:, -1] < self.probability,
            boxes=self.boxes.place(draws[:, :-1], height=height, width=width),
        )

    def apply(self, images: torch.Tensor, parameters: Cutout) -> torch.Tensor:
        """Paint over the chosen images' rectangles, (B, C, H, W)."""

        def paint(chosen: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            top, left, height, width = parameters.boxes[indices].to(chosen.device)[:, :, None].unbind(1)
            rows = _inside(chosen.shape[-2], top, height)
            columns = _inside(chosen.shape[-1], left, width)
            return chosen.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], self.fill)

        return apply_where(images, parameters.chosen, paint)


def _inside(length: int, start: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
    """(B, length) boolean: pixels along an axis whose centres lie between ``start`` and ``start + extent``, (B, 1)."""
    centers = torch.arange(length, device=start.device) + 0.5
    return (centers >= start) & (centers < start + extent)
