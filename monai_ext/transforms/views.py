"""Random crops of slices, drawn and applied for a whole batch on the device that trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monai_ext.transforms.batch_transform import BatchTransform, check_batch, check_probability
from monai_ext.transforms.crop_boxes import CropBoxes
from monai_ext.transforms.resample import resample_boxes

__all__ = ["CropFlip", "RandResizedCropFlip"]


class CropFlip(NamedTuple):
    """What was drawn for a batch of B images: ``boxes`` (B, 4) top, left, height, width in pixels; ``flip`` (B,)."""

    boxes: torch.Tensor
    flip: torch.Tensor


class RandResizedCropFlip(BatchTransform[CropFlip]):
    """A random box of every image, resized to one size and mirrored left-right with a given probability.

    The only augmentation of SparK (Tian et al., ICLR 2023, section 4).

    Args:
        size: side of the views in pixels.
        scale: smallest and largest area of the box, as a fraction of the image's area, within (0, 1].
        ratio: smallest and largest width / height of the box.
        flip_probability: probability of mirroring left and right, within [0, 1].

    Raises:
        ValueError: a range that is empty, inverted, or asks for a box larger than the image.

    Example:
        >>> views = RandResizedCropFlip(32, scale=[0.67, 1.0])
        >>> views(torch.rand(4, 1, 40, 40)).shape
        torch.Size([4, 1, 32, 32])
    """

    def __init__(
        self,
        size: int,
        *,
        scale: Sequence[float] = (0.67, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flip_probability: float = 0.5,
    ) -> None:
        if size < 1:
            raise ValueError(f"A view needs a size of at least 1 pixel, but size={size} was given.")
        self.size = size
        self.boxes = CropBoxes(scale, ratio)
        self.flip_probability = check_probability("flip_probability", flip_probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> CropFlip:
        """Draw the parameters for ``images`` (B, C, H, W), on the CPU; always as many numbers an image."""
        batch, _, height, width = check_batch(images, size=self.size)
        draws = torch.rand(batch, CropBoxes.DRAWS + 1, generator=generator, dtype=torch.float64)
        return CropFlip(
            boxes=self.boxes.place(draws[:, :-1], height=height, width=width),
            flip=draws[:, -1] < self.flip_probability,
        )

    def apply(self, images: torch.Tensor, parameters: CropFlip) -> torch.Tensor:
        """Cut the views that ``parameters`` describe out of ``images``: (B, C, H, W) -> (B, C, size, size)."""
        check_batch(images, size=self.size)
        views = resample_boxes(images, parameters.boxes, size=self.size, flip=parameters.flip)
        return views.clamp_(0.0, 1.0)  # weights sum to one up to rounding
