"""Reconstruct every image once, for handlers that measure the result or write it down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_ext.engines.image_evaluator import ImageEvaluator

__all__ = ["ReconstructionEvaluator"]


class ReconstructionEvaluator(ImageEvaluator):
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
        seed: int = 0,
        precision: str = "fp32",
        handlers: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            device,
            network=network,
            data_loader=data_loader,
            inferer=inferer,
            precision=precision,
            handlers=handlers,
        )
        self.seed = seed
        self._images = 0

    def infer(self, images: Tensor) -> dict[str, Any]:
        """Mask and reconstruct one batch."""
        masks = torch.Generator().manual_seed(self.seed * 1_000_003 + self.state.iteration)
        prediction, image, visible = self.inferer(images, self.network, generator=masks)
        first = 0 if self.state.iteration == 1 else self._images
        self._images = first + len(images)
        return {"prediction": prediction.float(), "image": image, "visible": visible, "first": first}
