"""What the encoder alone says about an image."""

from __future__ import annotations

from typing import Any

from monai.inferers import Inferer
from torch import Tensor, nn

from monai_ext.parallel.processes import unwrap

__all__ = ["EncoderInferer"]


class EncoderInferer(Inferer):
    """Feature vectors of whole images by ``network.encoder``, for any of the pre-training methods.

    Example:
        >>> import torch
        >>> network = nn.Module()
        >>> network.encoder = nn.Flatten()
        >>> EncoderInferer()(torch.rand(2, 1, 3, 3), network).shape
        torch.Size([2, 9])
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Features ``(B, F)`` of images ``(B, C, *spatial)``."""
        features: Tensor = unwrap(network).encoder(inputs)
        return features.flatten(1)
