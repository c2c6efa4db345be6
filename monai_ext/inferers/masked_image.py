"""Hide a part of each image and let the network paint it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from monai_ext.parallel.processes import unwrap

__all__ = ["MaskedImageInferer"]


class MaskedImageInferer(Inferer):
    """Forward pass of masked image modelling; gives what :class:`~monai_ext.losses.MaskedReconstructionLoss` takes.

    Masks are drawn by the network from torch's global generator, or from a generator of the caller's where the masks
    must be the same each time (evaluation).

    Example:
        >>> from monai_ext.networks import SparK, SparKDecoder, build_encoder
        >>> model = SparK(build_encoder("resnet18"), SparKDecoder(32))
        >>> prediction, image, visible = MaskedImageInferer()(torch.rand(2, 1, 64, 64), model)
        >>> visible.shape
        torch.Size([2, 1, 2, 2])
    """

    def __call__(
        self,
        inputs: Tensor,
        network: Callable[..., Any],
        *args: Any,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mask and reconstruct.

        Args:
            inputs: images, ``(B, C, *spatial)``.
            network: a model as :class:`~monai_ext.networks.SparK`, wrapped for distributed training or not.
            generator: source of the masks, on the CPU; the global one when omitted.

        Returns:
            ``(prediction, image, visible)``: ``(B, C, *spatial)`` twice, and the boolean mask ``(B, 1, *grid)``.
        """
        if generator is None:
            prediction, visible = network(inputs, return_visible=True)
        else:
            visible = unwrap(network).draw_visible(inputs, generator)
            prediction = network(inputs, visible)
        return prediction, inputs, visible
