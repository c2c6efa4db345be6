"""Refuse what corrupts memory on processors without AVX-512, on every processor: see ``arrange_memory``."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from monai_ext.parallel.memory_format import NARROWEST_CHANNELS_LAST, is_channels_last

GUARDED = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d


def refuse_narrow_channels_last(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """A forward pre-hook for all modules: no layer of few channels is trained channels last on a CPU.

    The layer that reads the image, whose gradient nobody wants, may have few channels unless it is a 1 x 1 convolution.

    Raises:
        AssertionError: one is.
    """
    if not (isinstance(layer, GUARDED) and torch.is_grad_enabled()):
        return
    images, weight = inputs[0], layer.weight
    trains = images.requires_grad or (weight.requires_grad and set(layer.kernel_size) == {1})
    is_narrow = images.device.type == "cpu" and layer.in_channels < NARROWEST_CHANNELS_LAST
    if trains and is_narrow and (is_channels_last(images) or is_channels_last(weight)):
        raise AssertionError(
            f"A convolution of {layer.in_channels} channels is trained channels last on a CPU: input "
            f"{tuple(images.shape)}, {layer}. Without AVX-512 this can corrupt memory: give the network at least "
            f"{NARROWEST_CHANNELS_LAST} channels, or the default memory format."
        )
