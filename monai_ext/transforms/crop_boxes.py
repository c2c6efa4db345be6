"""Random boxes of an image by area and aspect ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from monai_ext.transforms.batch_transform import check_range

__all__ = ["CropBoxes"]


@dataclass(frozen=True)
class CropBoxes:
    """Which boxes are drawn.

    The box's area is exactly the area that was drawn: its aspect ratio is drawn among those that fit the image, instead
    of drawing again or clipping.

    Args:
        scale: smallest and largest area of the box, as a fraction of the image's area, within (0, 1].
        ratio: smallest and largest width / height of the box.
        name: what errors call ``scale``.

    Raises:
        ValueError: a range that is empty, inverted, or asks for a box larger than the image.
    """

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
        """Boxes (B, 4) top, left, height, width in pixels from uniform ``draws`` (B, 4), float64 in [0, 1)."""
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, 0]
        widest = width / (height * area)
        narrowest = width * area / height
        low = torch.minimum(torch.clamp(narrowest, min=self.ratio[0]), widest).log()
        high = torch.maximum(torch.clamp(widest, max=self.ratio[1]), narrowest).log()
        ratio = torch.exp(low + (high - low) * draws[:, 1])
        box_width = torch.sqrt(height * width * area * ratio).clamp(max=width)
        box_height = torch.sqrt(height * width * area / ratio).clamp(max=height)
        top = (height - box_height) * draws[:, 2]
        left = (width - box_width) * draws[:, 3]
        return torch.stack([top, left, box_height, box_width], dim=1).float()
