"""Random boxes of an image by area and aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from monai_ext.transforms.batch_transform import check_range

__all__ = ["CropBoxes"]


@dataclass(frozen=True)
class CropBoxes:
    """Which boxes are drawn: by the rule of torchvision's ``RandomResizedCrop``, to which published areas refer.

    Area and aspect ratio are drawn independently, the area uniformly and the ratio's logarithm uniformly. A box that
    does not fit the image is drawn again, up to ``TRIES`` times in all; then the image's largest central box within the
    range of ratios is taken, whatever its area. So large boxes, which fit less often, are rarer than their range says:
    of a square image, areas of 0.2 - 1 have a mean of 0.54 and not 0.6, and with 0.9 - 1 a seventh of the boxes are the
    whole image. Unlike torchvision's, boxes are not rounded to whole pixels.

    Args:
        scale: smallest and largest area of the box, as a fraction of the image's area, within (0, 1].
        ratio: smallest and largest width / height of the box.
        name: what errors call ``scale``.

    Attributes:
        TRIES: boxes that are drawn before the central one is taken.
        DRAWS: numbers that :meth:`place` needs for each box.

    Raises:
        ValueError: a range that is empty, inverted, or asks for a box larger than the image.
    """

    TRIES: ClassVar[int] = 10
    DRAWS: ClassVar[int] = 2 * TRIES + 2

    scale: Sequence[float]
    ratio: Sequence[float]
    name: str = "scale"

    def __post_init__(self) -> None:
        check_range(self.name, self.scale)
        check_range("ratio", self.ratio)
        if self.scale[1] > 1:
            raise ValueError(
                f"A crop cannot be larger than the image: {self.name}={list(self.scale)} is a range of area fractions"
                " within (0, 1], for example [0.67, 1.0]."
            )

    def place(self, draws: torch.Tensor, *, height: int, width: int) -> torch.Tensor:
        """Boxes (B, 4) top, left, height, width in pixels.

        Args:
            draws: uniform numbers (B, ``DRAWS``), float64 in [0, 1): areas of all tries, ratios of all tries, and the
                place within the room that is left, down and across.
            height, width: of the image in pixels.
        """
        area, ratio = self._tries(draws)
        wide, high = torch.sqrt(height * width * area * ratio), torch.sqrt(height * width * area / ratio)
        fits = (wide <= width) & (high <= height)
        first = fits.int().argmax(dim=1, keepdim=True)
        found = fits.any(dim=1)
        central_height, central_width = self._central(height, width)
        box_height = torch.where(found, high.gather(1, first)[:, 0], central_height)
        box_width = torch.where(found, wide.gather(1, first)[:, 0], central_width)
        places = torch.where(found[:, None], draws[:, -2:], 0.5)
        top, left = (height - box_height) * places[:, 0], (width - box_width) * places[:, 1]
        return torch.stack([top, left, box_height, box_width], dim=1).float()

    def _tries(self, draws: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Area fraction and width / height of each try, both (B, ``TRIES``)."""
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, : self.TRIES]
        low, high = torch.tensor([*self.ratio], dtype=draws.dtype).log()
        return area, torch.exp(low + (high - low) * draws[:, self.TRIES : 2 * self.TRIES])

    def _central(self, height: int, width: int) -> tuple[float, float]:
        """Height and width of the largest box of the image within the range of ratios."""
        if width / height < self.ratio[0]:
            return width / self.ratio[0], float(width)
        if width / height > self.ratio[1]:
            return float(height), height * self.ratio[1]
        return float(height), float(width)
