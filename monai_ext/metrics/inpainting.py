"""Two predictors of masked patches that have learned nothing: what a trained network has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["linear_inpainting", "visible_mean"]


def visible_mean(image: Tensor, visible: Tensor) -> Tensor:
    """Each image's masked pixels replaced by the mean of its visible patches, channel by channel.

    Args:
        image: (B, C, *spatial).
        visible: (B, 1, *grid) boolean, True where a patch may be used; ``spatial`` is a multiple of ``grid``.

    Returns:
        (B, C, *spatial), equal to ``image`` at visible pixels. An image without a visible patch becomes zero.
    """
    seen = visible_pixels(visible, image.shape[2:])
    dimensions = tuple(range(2, image.ndim))
    total = (image * seen).sum(dim=dimensions, keepdim=True)
    mean = total / seen.sum(dim=dimensions, keepdim=True).clamp(min=1)
    return torch.where(seen, image, mean)


def linear_inpainting(image: Tensor, visible: Tensor) -> Tensor:
    """Masked pixels interpolated linearly between the nearest visible pixels on their grid lines (bilinear in 2D).

    Along each axis a masked pixel gets the linear interpolation between the visible pixels before and after it on its
    own line (the nearest one repeated where there is only one side). The axes are averaged with the weight
    1 / distance to the nearest visible pixel on that line. A pixel with no visible pixel on any of its lines gets the
    mean of the visible patches.

    Args:
        image: (B, C, *spatial).
        visible: (B, 1, *grid) boolean, True where a patch may be used; ``spatial`` is a multiple of ``grid``.

    Returns:
        (B, C, *spatial), equal to ``image`` at visible pixels.

    >>> row = torch.tensor([[[[0.0, 9.0, 9.0, 3.0]]]])
    >>> linear_inpainting(row, torch.tensor([[[[True, False, False, True]]]])).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    seen = visible_pixels(visible, image.shape[2:])
    weighted, weights = torch.zeros_like(image), torch.zeros_like(seen, dtype=image.dtype)
    for axis in range(2, image.ndim):
        value, weight = _interpolate(image, seen, axis)
        weighted += weight * value
        weights += weight
    inpainted = torch.where(weights > 0, weighted / weights.clamp(min=1e-12), visible_mean(image, visible))
    return torch.where(seen, image, inpainted)


def visible_pixels(visible: Tensor, spatial: tuple[int, ...] | torch.Size) -> Tensor:
    """Patch mask (B, 1, *grid) repeated to the pixels of its patches: (B, 1, *spatial)."""
    for axis, size in enumerate(spatial, start=2):
        if size % visible.shape[axis]:
            raise ValueError(
                f"Spreading a mask of {tuple(visible.shape[2:])} patches over an image of {tuple(spatial)} pixels: "
                "every side of the image must be a multiple of the mask's."
            )
        visible = visible.repeat_interleave(size // visible.shape[axis], dim=axis)
    return visible


def _interpolate(image: Tensor, seen: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Linear interpolation along one axis, and its weight (zero on lines without a visible pixel)."""
    size = image.shape[axis]
    position = torch.arange(size, device=image.device).view([-1 if dim == axis else 1 for dim in range(image.ndim)])
    position = position.expand_as(seen)
    before = torch.where(seen, position, -1).cummax(dim=axis).values
    after = torch.where(seen, position, size).flip(axis).cummin(dim=axis).values.flip(axis)
    has_before, has_after = before >= 0, after < size
    before = torch.where(has_before, before, after)
    after = torch.where(has_after, after, before)
    on_line = has_before | has_after

    index_before, index_after = (index.clamp(0, size - 1).expand_as(image) for index in (before, after))
    fraction = (position - before) / (after - before).clamp(min=1)
    value = torch.lerp(image.gather(axis, index_before), image.gather(axis, index_after), fraction.to(image.dtype))
    distance = torch.minimum((position - before).abs(), (after - position).abs()).clamp(min=1)
    return value, on_line.to(image.dtype) / distance
