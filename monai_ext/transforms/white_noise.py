"""Gaussian noise, independent from pixel to pixel."""

from __future__ import annotations

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

__all__ = ["RandWhiteNoise", "WhiteNoise"]


class WhiteNoise(NamedTuple):
    """What was drawn for B images: ``chosen`` (B,) boolean, ``deviation`` (B,), and ``seed`` (B,) of its noise."""

    chosen: torch.Tensor
    deviation: torch.Tensor
    seed: torch.Tensor


class RandWhiteNoise(BatchTransform[WhiteNoise]):
    """Add Gaussian noise; the result is clipped to [0, 1].

    Only a seed for every image is drawn on the CPU; the noise itself is made from it on the images' device. CPU and GPU
    make different noise from one seed: this is the one thing in which their views differ by more than rounding.

    Args:
        deviation: smallest and largest standard deviation, as fractions of the windowed range; the logarithm of an
            image's is uniform between theirs. The default is the study's (Wolf et al., Sci Rep 2023). One number is the
            largest; an image's deviation is uniform from 0 to it.
        probability: of adding noise to an image.

    Raises:
        ValueError: a negative deviation, a pair that is no range of positive numbers, or no probability.

    Example:
        >>> noise = RandWhiteNoise(deviation=[0.01, 0.05])
        >>> noise(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def __init__(self, *, deviation: float | Sequence[float] = (0.00316, 0.01), probability: float = 0.5) -> None:
        self.deviation: float | tuple[float, float]
        if isinstance(deviation, int | float):
            if not 0 <= deviation < float("inf"):
                raise ValueError(f"deviation is the largest standard deviation, 0 or more, but {deviation} was given.")
            self.deviation = float(deviation)
        else:
            self.deviation = check_range("deviation", deviation)
        self.probability = check_probability("probability", probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> WhiteNoise:
        """Draw three numbers an image."""
        batch = check_batch(images)[0]
        draws = torch.rand(batch, 2, generator=generator, dtype=torch.float64)
        return WhiteNoise(
            chosen=draws[:, 0] < self.probability,
            deviation=self._deviation(draws[:, 1]),
            seed=torch.randint(2**62, (batch,), generator=generator),
        )

    def _deviation(self, draws: torch.Tensor) -> torch.Tensor:
        if isinstance(self.deviation, float):
            return self.deviation * draws
        low, high = self.deviation
        return low * (high / low) ** draws

    def apply(self, images: torch.Tensor, parameters: WhiteNoise) -> torch.Tensor:
        """Add noise to the chosen images, (B, C, H, W) in [0, 1]; the result is in [0, 1]."""

        def add(chosen: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            noise = torch.empty_like(chosen, dtype=torch.float32, memory_format=torch.contiguous_format)
            for target, seed in zip(noise, parameters.seed[indices].tolist(), strict=True):
                target.normal_(generator=torch.Generator(chosen.device).manual_seed(seed))
            deviation = parameters.deviation[indices].to(chosen.device, torch.float32)[:, None, None, None]
            return noise.mul_(deviation).add_(chosen).clamp_(0.0, 1.0).to(chosen.dtype)

        return apply_where(images, parameters.chosen, add)
