"""What evaluators of pre-trained networks share: every image of a loader goes through an inferer once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.engines import Evaluator
from torch import Tensor, nn

from monai_ext.engines.pretraining_trainer import images_of
from monai_ext.parallel.devices import Precision

__all__ = ["ImageEvaluator"]


class ImageEvaluator(Evaluator):
    """Run an inferer on the images of a loader, in evaluation mode, without gradients.

    Args:
        device: on which the network is.
        network: the model.
        data_loader: batches of images, ``(B, C, *spatial)``, ready for the network.
        inferer: called by :meth:`infer`.
        precision: of the forward pass, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``.
        handlers: objects with ``attach(engine)``.
    """

    def __init__(
        self,
        device: torch.device | str,
        *,
        network: nn.Module,
        data_loader: Iterable[Any],
        inferer: Callable[..., Any],
        precision: str = "fp32",
        handlers: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            device=device, val_data_loader=data_loader, non_blocking=True, decollate=False, val_handlers=handlers
        )
        self.network = network
        self.inferer = inferer
        self.precision = Precision(precision, device=self.state.device)

    @abstractmethod
    def infer(self, images: Tensor) -> dict[str, Any]:
        """Give the output of one batch of images on the device; called under the chosen precision."""

    def _iteration(self, engine: Any, batchdata: Tensor | Mapping[str, Tensor]) -> dict[str, Any]:
        images = images_of(batchdata).to(self.state.device, non_blocking=self.non_blocking)
        with self.mode(self.network), torch.no_grad(), self.precision.autocast():
            return self.infer(images)
