"""Random views of slices, drawn and applied for a whole batch on the device that trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from monai_ext.transforms.resample import resample_boxes

__all__ = ["CropFlip", "RandResizedCropFlip"]


class CropFlip(NamedTuple):
    """What was drawn for a batch of B images: ``boxes`` (B, 4) top, left, height, width in pixels; ``flip`` (B,)."""

    boxes: torch.Tensor
    flip: torch.Tensor


class RandResizedCropFlip:
    """A random box of every image, resized to one size and mirrored left-right with a given probability.

    The only augmentation of SparK (Tian et al., ICLR 2023, section 4). Every image of the batch has parameters of its
    own. They are drawn on the CPU, from PyTorch's global generator unless another is given, so that CPU and GPU runs
    see the same views. The box's area is exactly the area that was drawn: its aspect ratio is drawn among those that
    fit the image, instead of drawing again or clipping.

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
        self.scale = _range("scale", scale)
        self.ratio = _range("ratio", ratio)
        if self.scale[1] > 1:
            raise ValueError(
                f"A crop cannot be larger than the image: scale={list(scale)} is a range of area fractions within"
                " (0, 1], for example [0.67, 1.0]."
            )
        if not 0 <= flip_probability <= 1:
            raise ValueError(f"flip_probability is within [0, 1], but {flip_probability} was given.")
        self.flip_probability = flip_probability

    def __call__(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return one view of every image: (B, C, H, W) -> (B, C, size, size), same type and device.

        Raises:
            ValueError: the images are smaller than the views.
        """
        return self.apply(images, self.randomize(images, generator=generator))

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> CropFlip:
        """Draw the parameters for ``images`` (B, C, H, W), on the CPU; five numbers an image, whatever its size."""
        batch, _, height, width = self._check(images)
        draws = torch.rand(batch, 5, generator=generator, dtype=torch.float64)
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
        boxes = torch.stack([top, left, box_height, box_width], dim=1)
        return CropFlip(boxes=boxes.float(), flip=draws[:, 4] < self.flip_probability)

    def apply(self, images: torch.Tensor, parameters: CropFlip) -> torch.Tensor:
        """Cut the views that ``parameters`` describe out of ``images``: (B, C, H, W) -> (B, C, size, size)."""
        self._check(images)
        return resample_boxes(images, parameters.boxes, size=self.size, flip=parameters.flip)

    def _check(self, images: torch.Tensor) -> torch.Size:
        if images.ndim != 4:
            raise ValueError(
                f"Views are made of a batch (B, C, H, W), but a tensor of {tuple(images.shape)} was given."
            )
        if min(images.shape[-2:]) < self.size:
            raise ValueError(
                f"Views of {self.size} x {self.size} pixels cannot be cropped from images of"
                f" {images.shape[-2]} x {images.shape[-1]}: load larger images or ask for smaller views."
            )
        return images.shape


def _range(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Check a JSON pair of positive numbers, smallest first."""
    if len(values) != 2 or not 0 < values[0] <= values[1] or math.isinf(values[1]):
        raise ValueError(f"{name} is a pair of positive numbers, smallest first, but {list(values)} was given.")
    return float(values[0]), float(values[1])
