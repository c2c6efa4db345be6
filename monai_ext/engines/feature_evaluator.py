"""Run the encoder once on every image, for handlers that write or measure its features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.engines import Evaluator
from torch import Tensor, nn

from monai_ext.engines.devices import Precision
from monai_ext.engines.pretraining_trainer import images_of

__all__ = ["FeatureEvaluator"]


class FeatureEvaluator(Evaluator):
    """Features of the images of a loader, in evaluation mode.

    ``state.output`` is ``{"features": ...}``, what the inferer gives, in float32 on the device.

    Args:
        device: on which the network is.
        network: whose features are wanted.
        data_loader: batches of images, ``(B, C, *spatial)``, ready for the network.
        inferer: ``inferer(images, network)`` gives features ``(B, F)``, as :class:`~monai_ext.inferers.EncoderInferer`.
        precision: of the forward pass, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        handlers: objects with ``attach(engine)``.
    """

    def __init__(
        self,
        device: torch.device | str,
        *,
        network: nn.Module,
        data_loader: Iterable[Any],
        inferer: Callable[..., Tensor],
        precision: str = "fp32",
        handlers: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            device=device, val_data_loader=data_loader, non_blocking=True, decollate=False, val_handlers=handlers
        )
        self.network = network
        self.inferer = inferer
        self.precision = Precision(precision, device=self.state.device)

    def _iteration(self, engine: Any, batchdata: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = images_of(batchdata).to(self.state.device, non_blocking=self.non_blocking)
        with self.mode(self.network), torch.no_grad(), self.precision.autocast():
            features = self.inferer(images, self.network)
        return {"features": features.float()}
