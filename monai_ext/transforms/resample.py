"""Crops of any box, each resampled to one size, for a whole batch at once on the batch's device."""

from __future__ import annotations

import torch

from monai_ext.transforms.row_filter import filter_columns, filter_rows

__all__ = ["resample_boxes", "resample_cuboids"]


def resample_boxes(
    images: torch.Tensor,
    boxes: torch.Tensor,
    *,
    size: int,
    flip: torch.Tensor | None = None,
    flip_vertical: torch.Tensor | None = None,
    transpose: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cut one box out of every image and resample it to ``size`` x ``size``, antialiased.

    Each axis is filtered with a triangle as wide as the reduction asks for (bilinear where nothing is reduced), the
    filter of ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)``, but with a box of its own for every
    image. A sample's result does not depend on its batch, see :func:`~monai_ext.transforms.row_filter.filter_rows`.

    Args:
        images: (B, C, H, W), floating point.
        boxes: (B, 4), top, left, height, width in pixels, may be fractional. Where a box leaves the image, the image's
            outermost pixels are continued.
        size: side of the result.
        flip: (B,) boolean, True mirrors left and right; nothing is mirrored when omitted.
        flip_vertical: (B,) boolean, True mirrors top and bottom.
        transpose: (B,) boolean, True exchanges rows and columns, after mirroring.

    Returns:
        (B, C, size, size) in the images' type.
    """
    longest = float(boxes[:, 2:].max()) if len(boxes) else 1.0
    top, left, height, width = boxes.to(images.device, torch.float32).unbind(dim=1)
    options = {"size": size, "taps": int(2 * max(1.0, longest / size)) + 1}
    rows, row_weights = _mirror(*_taps(top, height, length=images.shape[-2], **options), flip_vertical)
    columns, column_weights = _mirror(*_taps(left, width, length=images.shape[-1], **options), flip)
    resampled = filter_columns(filter_rows(images.float(), rows, row_weights), columns, column_weights)
    if transpose is not None and transpose.any():
        resampled = torch.where(transpose.to(images.device)[:, None, None, None], resampled.mT, resampled)
    return resampled.to(images.dtype).contiguous()


def resample_cuboids(
    images: torch.Tensor, boxes: torch.Tensor, *, size: int, flip: torch.Tensor | None = None
) -> torch.Tensor:
    """Cut one cuboid out of every volume and resample it to a cube, antialiased: :func:`resample_boxes` in 3D.

    Args:
        images: (B, C, D, H, W), floating point.
        boxes: (B, 6), first voxel along each axis, then size along each axis, may be fractional.
        size: side of the result.
        flip: (B,) boolean, True mirrors along the last axis; nothing is mirrored when omitted.

    Returns:
        (B, C, size, size, size) in the images' type.
    """
    batch, channels, *spatial = images.shape
    start, extent = boxes.to(images.device, torch.float32).view(-1, 2, 3).unbind(dim=1)
    planes, rows, columns = (
        _taps(
            start[:, axis],
            extent[:, axis],
            length=spatial[axis],
            size=size,
            taps=int(2 * max(1.0, (float(boxes[:, 3 + axis].max()) if batch else 1.0) / size)) + 1,
        )
        for axis in range(3)
    )
    cut = filter_rows(images.float().flatten(3), *planes).view(batch, channels * size, *spatial[1:])
    cut = filter_columns(filter_rows(cut, *rows), *_mirror(*columns, flip))
    return cut.reshape(batch, channels, size, size, size).to(images.dtype).contiguous()


def _taps(
    start: torch.Tensor, extent: torch.Tensor, *, length: int, size: int, taps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Source positions and weights of every output position, both (B, size, taps); weights sum to one."""
    step = extent[:, None] / size
    centers = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * step - 0.5
    centers = centers.clamp(0, length - 1)
    reach = step.clamp(min=1.0)
    positions = torch.ceil(centers - reach)[..., None] + torch.arange(taps, device=start.device)
    weights = (1 - (positions - centers[..., None]).abs() / reach[..., None]).clamp(min=0.0)
    weights = weights * ((positions >= 0) & (positions <= length - 1))
    total = torch.zeros_like(centers)
    for weight in weights.unbind(-1):  # in this order, so that more taps of weight zero change nothing
        total = total + weight
    return positions.clamp(0, length - 1).long(), weights / total[..., None]


def _mirror(
    positions: torch.Tensor, weights: torch.Tensor, flip: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reverse the order of the output positions in the chosen images."""
    if flip is None:
        return positions, weights
    mirrored = flip.to(positions.device)[:, None, None]
    return torch.where(mirrored, positions.flip(1), positions), torch.where(mirrored, weights.flip(1), weights)
