"""Run a network in a shorter floating-point format, on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from monai_ext.parallel.devices import AUTO, Precision

__all__ = ["PrecisionInferer"]

_ACCEPTED = ("fp32", "bf16", AUTO)


class PrecisionInferer(Inferer):
    """Forward pass under autocast of the images' own device, with a result in single precision.

    MONAI's engines have an option ``amp``, which is for CUDA only; this works on CPUs too. Gradients of bf16 need no
    scaling, and losses are computed in single precision.

    Args:
        precision: ``"fp32"``, ``"bf16"``, or ``"auto"``: what :class:`~monai_ext.parallel.devices.Precision` chooses
            for the device.

    Raises:
        ValueError: it is another; fp16, whose gradients must be scaled, is not offered.

    Example:
        >>> PrecisionInferer("bf16")(torch.ones(1, 2), torch.nn.Linear(2, 1)).dtype
        torch.float32
    """

    def __init__(self, precision: str = "fp32") -> None:
        if precision not in _ACCEPTED:
            raise ValueError(
                f"A classifier is trained in fp32 or bf16, or auto chooses; received {precision!r}. On GPUs without "
                "bf16, use fp32."
            )
        self.precision = precision
        self._on_device: Precision | None = None

    def precision_on(self, device: torch.device) -> Precision:
        """What is computed in on a device; for one device the same object each time."""
        if self._on_device is None or self._on_device.device.type != device.type:
            self._on_device = Precision(self.precision, device=device)
        return self._on_device

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """The network's output on ``inputs`` (B, C, H, W), as float32."""
        with self.precision_on(inputs.device).autocast():
            return network(inputs, *args, **kwargs).float()
