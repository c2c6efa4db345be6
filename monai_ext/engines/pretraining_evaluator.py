"""The loss on held-out slices, with the same masks and views each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from ignite.metrics import Average
from monai.engines import Evaluator
from torch import Tensor, nn

from monai_ext.engines.pretraining_trainer import Views, images_of
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["PretrainingEvaluator"]


class PretrainingEvaluator(Evaluator):
    """Mean loss of a pre-training method over a data set, as ``state.metrics["val_loss"]``.

    Masks and views are drawn from the seed and the number of the batch, so that values of different epochs and runs
    are of the same. The global random streams are left as they were: training goes on exactly as it would have without
    evaluation. The mean is over images, in evaluation mode, and over all processes of a distributed run.

    Args:
        device: on which the network is.
        network: to be evaluated; wrapped by :func:`~monai_ext.engines.distribute` or not.
        loss_function: takes what the inferer gives and gives the mean over its images.
        val_data_loader: batches of images, ``(B, C, *spatial)``, or dictionaries with such an ``"image"``, ready for
            the network; every process of a distributed run reads its own share.
        views: ``views(images, generator=...)`` makes what the inferer takes of a batch on the device, such as the
            views of contrastive methods; None for the images as they are.
        inferer: ``inferer(views, network, generator=...)`` gives the arguments of the loss.
        seed: of the views and masks.
        precision: of the forward pass, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``; where a training is asked for
            the same, evaluation follows it.
        handlers: objects with ``attach(engine)``.
    """

    def __init__(
        self,
        device: torch.device | str,
        *,
        network: nn.Module,
        loss_function: Callable[..., Tensor],
        val_data_loader: Iterable[Any],
        inferer: Callable[..., Any],
        views: Callable[..., Views] | None = None,
        seed: int = 0,
        precision: str = "fp32",
        handlers: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            device=device,
            val_data_loader=val_data_loader,
            non_blocking=True,
            key_val_metric={"val_loss": Average(output_transform=_loss_of_each_image, device=device).item()},
            metric_cmp_fn=_is_smaller,
            decollate=False,
            val_handlers=handlers,
        )
        self.network = network
        self.loss_function = loss_function
        self.views = views
        self.inferer = inferer
        self.seed = seed
        self.precision = Precision(precision, device=self.state.device)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Evaluate once.

        Args:
            global_epoch: epoch of the training to which the result belongs.
        """
        with preserved_random_streams():
            super().run(global_epoch)

    def _iteration(self, engine: Any, batchdata: Tensor | Mapping[str, Tensor]) -> dict[str, Any]:
        """Loss of one batch."""
        images = images_of(batchdata).to(self.state.device, non_blocking=self.non_blocking)
        drawn = torch.Generator().manual_seed(self.seed * 1_000_003 + self.state.iteration)
        views = images if self.views is None else self.views(images, generator=drawn)
        with self.mode(self.network), torch.no_grad():
            with self.precision.autocast():
                output = self.inferer(views, self.network, generator=drawn)
            loss = self.loss_function(*output)
        return {"loss": loss, "images": len(images)}


def _loss_of_each_image(output: dict[str, Any]) -> Tensor:
    """The batch's mean loss once for each image, ``(B, 1)``, so that a smaller last batch counts less."""
    return output["loss"].reshape(1, 1).expand(output["images"], 1)


def _is_smaller(value: float, best: float) -> bool:
    return value < best
