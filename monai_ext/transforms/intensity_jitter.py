"""Random brightness, contrast and gamma."""

from __future__ import annotations

from typing import NamedTuple

import torch

from monai_ext.transforms.batch_transform import BatchTransform, apply_where, check_batch, check_probability

__all__ = ["IntensityJitter", "RandIntensityJitter"]


class IntensityJitter(NamedTuple):
    """What was drawn for B images: ``chosen`` (B,) boolean, and the amounts of :class:`RandIntensityJitter`, (B,)."""

    chosen: torch.Tensor
    brightness: torch.Tensor
    offset: torch.Tensor
    contrast: torch.Tensor
    gamma: torch.Tensor


class RandIntensityJitter(BatchTransform[IntensityJitter]):
    """Change gamma, brightness and contrast of windowed images, each image's by amounts of its own.

    In this order, with x in [0, 1]: x <- x ** gamma; x <- brightness * x + offset; x <- mean + contrast * (x - mean),
    where the mean is the image's own; then x is clipped to [0, 1]. All channels of an image get the same amounts. The
    defaults are the study's (Wolf et al., Sci Rep 2023): brightness and contrast by factors, of every image.

    A factor leaves air black. BYOL's brightness is an offset instead (Grill et al., NeurIPS 2020, appendix B):
    ``brightness=0, brightness_offset=0.4``. Where gray levels are physical it turns air into tissue, so it is left out
    unless it is asked for.

    Args:
        brightness: b; the factor is uniform within [1 - b, 1 + b].
        brightness_offset: o; what is added is uniform within [-o, o], a fraction of the windowed range.
        contrast: c; the factor is uniform within [1 - c, 1 + c].
        gamma: g; the exponent's logarithm is uniform within that of [1 / g, g]; 1 leaves gamma alone.
        probability: of changing an image at all.

    Raises:
        ValueError: brightness, its offset or contrast outside [0, 1], a gamma below 1, or no probability.

    Example:
        >>> jitter = RandIntensityJitter(brightness=0.4, contrast=0.4)
        >>> jitter(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def __init__(
        self,
        *,
        brightness: float = 0.4,
        contrast: float = 0.4,
        gamma: float = 1.0,
        probability: float = 1.0,
        brightness_offset: float = 0.0,
    ) -> None:
        for name, value in (("brightness", brightness), ("contrast", contrast)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is how far a factor may be from 1, within [0, 1], but {value} was given.")
        if not 0 <= brightness_offset <= 1:
            raise ValueError(
                "brightness_offset is the most that is added to the windowed range [0, 1], itself within [0, 1], but"
                f" {brightness_offset} was given."
            )
        if not 1 <= gamma < float("inf"):
            raise ValueError(
                f"gamma is the largest exponent, 1 or more (the smallest is 1 / gamma), but {gamma} was given."
            )
        self.brightness = float(brightness)
        self.brightness_offset = float(brightness_offset)
        self.contrast = float(contrast)
        self.gamma = float(gamma)
        self.probability = check_probability("probability", probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> IntensityJitter:
        """Draw five numbers an image."""
        draws = torch.rand(check_batch(images)[0], 5, generator=generator, dtype=torch.float64)
        return IntensityJitter(
            chosen=draws[:, 0] < self.probability,
            brightness=1 + self.brightness * (2 * draws[:, 1] - 1),
            offset=self.brightness_offset * (2 * draws[:, 4] - 1),
            contrast=1 + self.contrast * (2 * draws[:, 2] - 1),
            gamma=self.gamma ** (2 * draws[:, 3] - 1),
        )

    def apply(self, images: torch.Tensor, parameters: IntensityJitter) -> torch.Tensor:
        """Change the chosen images, (B, C, H, W) in [0, 1]; the result is in [0, 1]."""

        def change(chosen: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
            brightness, offset, contrast, gamma = (
                values[indices].to(chosen.device, chosen.dtype)[:, None, None, None] for values in parameters[1:]
            )
            changed = chosen.clamp(0.0, 1.0).pow(gamma).mul_(brightness).add_(offset)
            mean = changed.mean(dim=(1, 2, 3), keepdim=True)
            return changed.sub_(mean).mul_(contrast).add_(mean).clamp_(0.0, 1.0)

        return apply_where(images, parameters.chosen, change)
