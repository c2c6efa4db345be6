"""Gaussian blur with a width of its own for every image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from monai_ext.transforms.batch_transform import (
    BatchTransform,
    apply_where,
    check_batch,
    check_probability,
    check_range,
)
from monai_ext.transforms.row_filter import filter_columns, filter_rows

__all__ = ["GaussianBlur", "RandGaussianBlur"]

_REACH = 3.0
"""Half width of the kernel in standard deviations; what is cut off holds 0.3 % of the weight."""


class GaussianBlur(NamedTuple):
    """What was drawn for B images: ``chosen`` (B,) boolean, and ``sigma`` (B,) in pixels."""

    chosen: torch.Tensor
    sigma: torch.Tensor


class RandGaussianBlur(BatchTransform[GaussianBlur]):
    """Blur images with a Gaussian, first along rows, then along columns; the outermost pixels are continued.

    Args:
        sigma: smallest and largest standard deviation in pixels of the view, drawn uniformly.
        probability: of blurring an image.

    Raises:
        ValueError: sigma is no range of positive numbers, or no probability.

    Example:
        >>> blur = RandGaussianBlur(sigma=[0.1, 2.0], probability=0.5)
        >>> blur(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def __init__(self, *, sigma: Sequence[float] = (0.1, 2.0), probability: float = 0.5) -> None:
        self.sigma = check_range("sigma", sigma)
        self.probability = check_probability("probability", probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> GaussianBlur:
        """Draw two numbers an image."""
        draws = torch.rand(check_batch(images)[0], 2, generator=generator, dtype=torch.float64)
        return GaussianBlur(
            chosen=draws[:, 0] < self.probability,
            sigma=self.sigma[0] + (self.sigma[1] - self.sigma[0]) * draws[:, 1],
        )

    def apply(self, images: torch.Tensor, parameters: GaussianBlur) -> torch.Tensor:
        """Blur the chosen images, (B, C, H, W) in [0, 1]; the result is in [0, 1]."""

        def blur(chosen: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            weights = self._weights(parameters.sigma[indices]).to(chosen.device)
            rows, columns = (_neighbours(length, weights) for length in chosen.shape[-2:])
            blurred = filter_columns(filter_rows(chosen.float(), *rows), *columns)
            return blurred.clamp_(0.0, 1.0).to(chosen.dtype)  # weights sum to one up to rounding

        return apply_where(images, parameters.chosen, blur)

    def _weights(self, sigma: torch.Tensor) -> torch.Tensor:
        """Kernels (B, K) that sum to one, float32; K follows from the largest sigma of all batches."""
        reach = math.ceil(_REACH * self.sigma[1])
        offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
        return (weights / weights.sum(dim=1, keepdim=True)).float()


def _neighbours(length: int, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and weights, both (B, length, K), of the neighbours of every pixel along an axis."""
    batch, taps = weights.shape
    offsets = torch.arange(taps, device=weights.device) - taps // 2
    positions = (torch.arange(length, device=weights.device)[:, None] + offsets).clamp_(0, length - 1)
    return positions.expand(batch, -1, -1), weights[:, None].expand(-1, length, -1)
