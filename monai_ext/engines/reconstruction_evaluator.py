"""Reconstruct every image once, for handlers that measure the result or write it down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.engines import Evaluator
from torch import Tensor, nn

from monai_ext.engines.devices import Precision
from monai_ext.engines.pretraining_trainer import images_of

__all__ = ["ReconstructionEvaluator"]


class ReconstructionEvaluator(Evaluator):
    """Mask and reconstruct the images of a loader, in evaluation mode and with the same masks each time.

    ``state.output`` is ``{"prediction", "image", "visible", "first"}``: what the inferer gives, on the device, the
    prediction in float32, and the number of the batch's first image in the loader's order. Masks are drawn from the
    seed and the number of the batch, as :class:`~monai_ext.engines.PretrainingEvaluator` does.

    Args:
        device: on which the network is.
        network: a model as :class:`~monai_ext.networks.SparK`.
        data_loader: batches of images, ``(B, C, *spatial)``, ready for the network.
        inferer: ``inferer(images, network, generator=...)`` gives prediction, image and mask.
        seed: of the masks.
        precision: of the forward pass, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        handlers: objects with ``attach(engine)``.
    """

    def __init__(
        self,
        device: torch.device | str,
        *,
        network: nn.Module,
        data_loader: Iterable[Any],
        inferer: Callable[..., Any],
        seed: int = 0,
        precision: str = "fp32",
        handlers: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            device=device, val_data_loader=data_loader, non_blocking=True, decollate=False, val_handlers=handlers
        )
        self.network = network
        self.inferer = inferer
        self.seed = seed
        self.precision = Precision(precision, device=self.state.device)
        self._images = 0

    def _iteration(self, engine: Any, batchdata: Tensor | Mapping[str, Tensor]) -> dict[str, Any]:
        images = images_of(batchdata).to(self.state.device, non_blocking=self.non_blocking)
        masks = torch.Generator().manual_seed(self.seed * 1_000_003 + self.state.iteration)
        with self.mode(self.network), torch.no_grad(), self.precision.autocast():
            prediction, image, visible = self.inferer(images, self.network, generator=masks)
        first = 0 if self.state.iteration == 1 else self._images
        self._images = first + len(images)
        return {"prediction": prediction.float(), "image": image, "visible": visible, "first": first}
