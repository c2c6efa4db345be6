"""What a pre-trained network makes of each image of a loader, and its loss, with the same masks and views each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from ignite.metrics import Average
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

from monai_ext.engines.pretraining_trainer import Views, images_of
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["PretrainingEvaluator"]


class PretrainingEvaluator(SupervisedEvaluator):
    """Run an inferer on every image of a data set once, for handlers that measure or write, and give the mean loss.

    ``state.output`` is ``{"output", "images", "first"}``: what the inferer gives, in float32 on the device; the number
    of images in the batch; and the number of its first image in the loader's order. With a loss function there is
    ``"loss"`` too, and its mean over the images is ``state.metrics["val_loss"]``.

    Masks and views are drawn from the seed and the number of the batch, so that values of different epochs and runs
    are of the same. The global random streams are left as they were: training goes on exactly as it would have without
    evaluation. The mean is over images, in evaluation mode, and over all processes of a distributed run. It is a
    ``SupervisedEvaluator`` for MONAI's tools that ask for one, with an iteration of its own.

    Args:
        device: on which the network is.
        network: to be evaluated; wrapped by :func:`~monai_ext.engines.distribute` or not.
        val_data_loader: batches of images, ``(B, C, *spatial)``, or dictionaries with such an ``"image"``, ready for
            the network; every process of a distributed run reads its own share.
        inferer: ``inferer(views, network, generator=...)`` gives the arguments of the loss, or whatever the handlers
            want of each image.
        loss_function: takes what the inferer gives and gives the mean over its images; None for no loss.
        views: ``views(images, generator=...)`` makes what the inferer takes of a batch on the device, such as the
            views of contrastive methods; None for the images as they are.
        seed: of the views and masks.
        precision: of the forward pass, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``; where a training is asked for
            the same, evaluation follows it.
        handlers: objects with ``attach(engine)``.
    """

    inferer: Callable[..., Any]  # type: ignore[assignment]

    def __init__(
        self,
        device: torch.device | str,
        *,
        network: nn.Module,
        val_data_loader: Iterable[Any],
        inferer: Callable[..., Any],
        loss_function: Callable[..., Tensor] | None = None,
        views: Callable[..., Views] | None = None,
        seed: int = 0,
        precision: str = "fp32",
        handlers: Sequence[Any] = (),
    ) -> None:
        super().__init__(
            device=device,  # type: ignore[arg-type]
            val_data_loader=val_data_loader,
            network=network,
            inferer=inferer,  # type: ignore[arg-type]
            non_blocking=True,
            key_val_metric=None if loss_function is None else {"val_loss": _mean_loss(device)},
            metric_cmp_fn=_is_smaller,
            decollate=False,
            val_handlers=handlers,
        )
        self.loss_function: Callable[..., Tensor] | None = loss_function
        self.views = views
        self.seed = seed
        self._images = 0
        self.precision = Precision(precision, device=self.state.device)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Evaluate once.

        Args:
            global_epoch: epoch of the training to which the result belongs.
        """
        with preserved_random_streams():
            super().run(global_epoch)

    def _iteration(self, engine: Any, batchdata: Tensor | Mapping[str, Tensor]) -> dict[str, Any]:
        """Output, and loss, of one batch."""
        images = images_of(batchdata).to(self.state.device, non_blocking=self.non_blocking)
        first = 0 if self.state.iteration == 1 else self._images
        self._images = first + len(images)
        drawn = torch.Generator().manual_seed(self.seed * 1_000_003 + self.state.iteration)
        views = images if self.views is None else self.views(images, generator=drawn)
        with self.mode(self.network), torch.no_grad():
            with self.precision.autocast():
                output = self.inferer(views, self.network, generator=drawn)
            result = {"output": _in_float32(output), "images": len(images), "first": first}
            return result if self.loss_function is None else result | {"loss": self.loss_function(*output)}


def _mean_loss(device: torch.device | str) -> Any:
    return Average(output_transform=_loss_of_each_image, device=device).item()


def _in_float32(output: Any) -> Any:
    """Tensors of low precision in float32, others as they are."""
    if isinstance(output, Tensor):
        return output.float() if output.is_floating_point() else output
    return type(output)(map(_in_float32, output)) if isinstance(output, tuple | list) else output


def _loss_of_each_image(output: dict[str, Any]) -> Tensor:
    """The batch's mean loss once for each image, ``(B, 1)``, so that a smaller last batch counts less."""
    return output["loss"].reshape(1, 1).expand(output["images"], 1)


def _is_smaller(value: float, best: float) -> bool:
    return value < best
