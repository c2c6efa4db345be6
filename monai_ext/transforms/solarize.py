"""Solarisation: the bright part of an image inverted."""

from __future__ import annotations

from typing import NamedTuple

import torch

from monai_ext.transforms.batch_transform import BatchTransform, apply_where, check_batch, check_probability

__all__ = ["RandSolarize", "Solarization"]


class Solarization(NamedTuple):
    """What was drawn for B images: ``chosen`` (B,) boolean."""

    chosen: torch.Tensor


class RandSolarize(BatchTransform[Solarization]):
    """Replace x by 1 - x where x is at least the threshold, as BYOL does with a fifth of its second views.

    Grill et al., NeurIPS 2020, appendix B. Where gray levels are physical, as on CT, it makes what does not exist: the
    densest bone becomes air, and the order of tissues is lost. Hence views leave it out unless it is asked for.

    Args:
        threshold: values from here on are inverted, within [0, 1].
        probability: of changing an image.

    Raises:
        ValueError: a threshold or probability outside [0, 1].

    Example:
        >>> RandSolarize(probability=1.0)(torch.tensor([[[[0.25, 0.5, 0.75, 1.0]]]]))
        tensor([[[[0.2500, 0.5000, 0.2500, 0.0000]]]])
    """

    def __init__(self, *, threshold: float = 0.5, probability: float = 0.2) -> None:
        self.threshold = check_probability("threshold", threshold)
        self.probability = check_probability("probability", probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> Solarization:
        """Draw one number an image."""
        draws = torch.rand(check_batch(images)[0], generator=generator, dtype=torch.float64)
        return Solarization(chosen=draws < self.probability)

    def apply(self, images: torch.Tensor, parameters: Solarization) -> torch.Tensor:
        """Invert the bright part of the chosen images, (B, C, H, W) in [0, 1]; the result is in [0, 1]."""
        return apply_where(
            images,
            parameters.chosen,
            lambda chosen, indices: torch.where(chosen >= self.threshold, 1 - chosen, chosen),
        )
