"""Run a network in a shorter floating-point format, on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

__all__ = ["PrecisionInferer"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class PrecisionInferer(Inferer):
    """Forward pass under autocast of the images' own device, with a result in single precision.

    MONAI's engines have an option ``amp``, which is for CUDA only; this works on CPUs too. Gradients of bf16 need no
    scaling, and losses are computed in single precision.

    Args:
        precision: ``"fp32"`` or ``"bf16"``.

    Raises:
        ValueError: it is neither; fp16, whose gradients must be scaled, is not offered.

    Example:
        >>> PrecisionInferer("bf16")(torch.ones(1, 2), torch.nn.Linear(2, 1)).dtype
        torch.float32
    """

    def __init__(self, precision: str = "fp32") -> None:
        if precision not in _DTYPES:
            raise ValueError(
                f"A classifier is trained in fp32 or bf16; received {precision!r}. On GPUs without bf16, use fp32."
            )
        self.precision = precision

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """The network's output on ``inputs`` (B, C, H, W), as float32."""
        enabled = self.precision != "fp32"
        with torch.autocast(inputs.device.type, dtype=_DTYPES[self.precision], enabled=enabled):
            return network(inputs, *args, **kwargs).float()
