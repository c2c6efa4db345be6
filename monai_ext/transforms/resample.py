"""Crops of any box, each resampled to one size, for a whole batch at once on the batch's device."""

from __future__ import annotations

import math

import torch

__all__ = ["resample_boxes"]


def resample_boxes(
    images: torch.Tensor, boxes: torch.Tensor, *, size: int, flip: torch.Tensor | None = None
) -> torch.Tensor:
    """Cut one box out of every image and resample it to ``size`` x ``size``, antialiased.

    Each axis is filtered with a triangle as wide as the reduction asks for (bilinear where nothing is reduced), the
    filter of ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)``, but with a box of its own for every
    image. All arithmetic is element by element in float32, hence a sample's result does not depend on its batch, on
    autocast, or on the precision chosen for matrix products.

    Args:
        images: (B, C, H, W), floating point.
        boxes: (B, 4), top, left, height, width in pixels, may be fractional; within the image.
        size: side of the result.
        flip: (B,) boolean, True mirrors left and right; nothing is mirrored when omitted.

    Returns:
        (B, C, size, size) in the images' type.
    """
    top, left, height, width = boxes.to(device=images.device, dtype=torch.float32).unbind(dim=1)
    rows, row_weights = _taps(top, height, length=images.shape[-2], size=size)
    columns, column_weights = _taps(left, width, length=images.shape[-1], size=size)
    if flip is not None:
        mirrored = flip.to(images.device)[:, None, None]
        columns = torch.where(mirrored, columns.flip(1), columns)
        column_weights = torch.where(mirrored, column_weights.flip(1), column_weights)
    resampled = _filter(images.float(), rows[:, None, :, None], row_weights[:, None, :, None], dim=2)
    resampled = _filter(resampled, columns[:, None, None], column_weights[:, None, None], dim=3)
    return resampled.to(images.dtype)


def _taps(start: torch.Tensor, extent: torch.Tensor, *, length: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Source positions and weights of every output position, both (B, size, K); weights sum to one over K."""
    step = extent[:, None] / size
    centers = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * step - 0.5
    reach = step.clamp(min=1.0)
    taps = math.ceil(2 * max(1.0, length / size)) + 1
    first = torch.ceil(centers - reach)
    positions = first[..., None] + torch.arange(taps, device=start.device)
    weights = (1 - (positions - centers[..., None]).abs() / reach[..., None]).clamp(min=0.0)
    weights = weights * ((positions >= 0) & (positions <= length - 1))
    return positions.clamp(0, length - 1).long(), weights / weights.sum(dim=-1, keepdim=True)


def _filter(images: torch.Tensor, positions: torch.Tensor, weights: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Weighted sum of the images' values at ``positions`` along ``dim``; the taps are the last axis of both."""
    filtered = torch.zeros((), device=images.device)
    for position, weight in zip(positions.unbind(-1), weights.unbind(-1), strict=True):
        filtered = filtered + torch.take_along_dim(images, position, dim=dim) * weight
    return filtered
