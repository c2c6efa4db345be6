"""Random crops of cubes of a volume, drawn and applied for a whole batch on the device that trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from monai_ext.transforms.batch_transform import BatchTransform, check_probability, check_range
from monai_ext.transforms.resample import resample_cuboids

__all__ = ["RandVolumeCropFlip", "VolumeCrop"]


class VolumeCrop(NamedTuple):
    """What was drawn for B cubes: ``boxes`` (B, 6), first voxel and size along each axis; ``flip`` (B,)."""

    boxes: torch.Tensor
    flip: torch.Tensor


class RandVolumeCropFlip(BatchTransform[VolumeCrop]):
    """A random cuboid of every volume, resized to a cube and mirrored left-right with a given probability.

    What :class:`~monai_ext.transforms.RandResizedCropFlip` is to slices, with one difference: proportions are kept,
    since voxels have one size in mm along each axis and organs are not to be stretched.

    Args:
        size: side of the views in voxels.
        scale: smallest and largest volume of the box, as a fraction of the whole, within (0, 1].
        flip_probability: of mirroring along the last axis, left and right.

    Raises:
        ValueError: a range that is empty, inverted, or asks for a box larger than the volume.

    Example:
        >>> RandVolumeCropFlip(32, scale=[0.67, 1.0])(torch.rand(2, 1, 37, 37, 37)).shape
        torch.Size([2, 1, 32, 32, 32])
    """

    def __init__(self, size: int, *, scale: Sequence[float] = (0.67, 1.0), flip_probability: float = 0.5) -> None:
        if size < 1:
            raise ValueError(f"A view needs a size of at least 1 voxel, but size={size} was given.")
        self.size = size
        self.scale = check_range("scale", scale)
        if self.scale[1] > 1:
            raise ValueError(
                f"A crop cannot be larger than the volume: scale={list(scale)} is a range of volume fractions within"
                " (0, 1], for example [0.67, 1.0]."
            )
        self.flip_probability = check_probability("flip_probability", flip_probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> VolumeCrop:
        """Draw the parameters for ``images`` (B, C, D, H, W), on the CPU; always as many numbers a volume."""
        batch, _, *spatial = self._check(images)
        draws = torch.rand(batch, 5, generator=generator, dtype=torch.float64)
        low, high = self.scale
        sides = torch.tensor(spatial, dtype=torch.float64)
        box = (low + (high - low) * draws[:, :1]) ** (1 / 3) * sides
        first = (sides - box) * draws[:, 1:4]
        return VolumeCrop(torch.cat([first, box], dim=1).float(), draws[:, 4] < self.flip_probability)

    def apply(self, images: torch.Tensor, parameters: VolumeCrop) -> torch.Tensor:
        """Cut the views out of ``images``: (B, C, D, H, W) -> (B, C, size, size, size)."""
        self._check(images)
        views = resample_cuboids(images, parameters.boxes, size=self.size, flip=parameters.flip)
        return views.clamp_(0.0, 1.0)  # weights sum to one up to rounding

    def _check(self, images: torch.Tensor) -> torch.Size:
        if images.ndim != 5:
            raise ValueError(
                "Views of volumes are made of a batch (B, C, D, H, W), but a tensor of"
                f" {tuple(images.shape)} was given."
            )
        if min(images.shape[2:]) < self.size:
            raise ValueError(
                f"Views of {self.size} voxels a side cannot be cropped from volumes of"
                f" {' x '.join(map(str, images.shape[2:]))}: load larger patches or ask for smaller views."
            )
        return images.shape
