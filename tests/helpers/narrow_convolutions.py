"""Refuse what corrupts memory on processors without AVX-512, on every processor: see ``arrange_memory``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.jit._builtins import _register_builtin
from torch.nn import functional as F

from monai_ext.parallel.memory_format import NARROWEST_CHANNELS_LAST, is_channels_last

GUARDED = ("conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d")
"""Functions of ``torch.nn.functional``, through which layers compute as well."""


def guarded(convolution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The convolution, which refuses to be trained on few channels in channels-last memory on a CPU.

    The layer that reads the image, whose gradient nobody wants, may have few channels unless it is a 1 x 1 convolution
    with a stride.
    """

    @wraps(convolution)
    def checked(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        trains = torch.is_grad_enabled() and (input.requires_grad or (weight.requires_grad and _is_point(weight)))
        channels = input.shape[1]
        is_narrow = input.device.type == "cpu" and channels < NARROWEST_CHANNELS_LAST and not _is_column(input)
        if trains and is_narrow and (is_channels_last(input) or is_channels_last(weight)):
            raise AssertionError(
                f"A convolution of {channels} channels is trained channels last on a CPU: input "
                f"{tuple(input.shape)}, weight {tuple(weight.shape)}. Without AVX-512 this can corrupt memory: give "
                f"the network at least {NARROWEST_CHANNELS_LAST} channels, or the default memory format."
            )
        return convolution(input, weight, *args, **kwargs)

    return checked


def guards() -> dict[str, Callable[..., Tensor]]:
    """What to put in place of the functions of ``torch.nn.functional``, by name."""
    made = {name: guarded(getattr(F, name)) for name in GUARDED}
    for name, guard in made.items():
        _register_builtin(guard, f"aten::{name}")  # TorchScript compiles what it does not know, and cannot compile this
    return made


def _is_point(weight: Tensor) -> bool:
    return set(weight.shape[2:]) == {1}


def _is_column(input: Tensor) -> bool:
    """Rows of a matrix that are multiplied as an image ``(1, C, M, 1)``, without a stride: SparK's active blocks."""
    return input.shape[0] == 1 and input.shape[-1] == 1
