"""The training loop of every pre-training method: views, forward, loss, backward, step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from torch import Tensor, nn
from torch.optim import Optimizer

from monai_ext.data.sampling import lost_worker
from monai_ext.engines.distributed import gradient_sync, memory_formats
from monai_ext.engines.events import PretrainingEvents
from monai_ext.networks.view_checks import fault_of_bf16
from monai_ext.optimizers.schedules import WarmupCosine
from monai_ext.optimizers.training_length import TrainingLength
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.memory_format import describe_memory
from monai_ext.parallel.processes import unwrap
from monai_ext.parallel.random_streams import part_random_streams

__all__ = ["PretrainingTrainer", "Views", "images_of"]

logger = logging.getLogger(__name__)

Views: TypeAlias = Tensor | list[Tensor]
"""What a network is given: one tensor of images, or a list of views."""


class PretrainingTrainer(SupervisedTrainer):
    """Train a network without labels for a given length.

    A ``SupervisedTrainer``, though nothing is supervised: MONAI's tools for trainers, such as federated learning by
    ``monai.fl``, ask for one. Its iteration is replaced.

    An iteration is one optimiser step. It makes views of a batch of images on the device, lets the inferer run the
    network on them (this is where the method is), passes what comes out to the loss, and steps. Everything that happens
    at a certain time, such as validation or saving, is a handler on an event of Ignite, MONAI or
    :class:`~monai_ext.engines.PretrainingEvents`.

    ``state.output`` is ``{"loss": ...}``, a detached float tensor on the device (reading it waits for a GPU);
    ``state.images_seen`` counts the images of all processes; ``state.last_checkpoint`` is the path of the last complete
    checkpoint or None. Handlers on ``EXCEPTION_RAISED`` only take note: the exception always leaves ``run``. A network
    with a true ``takes_sample_ids`` (MoCo) is also known which sample of the data each image is.

    Args:
        device: on which to train; the network must be there.
        network: to be trained; wrapped by :func:`~monai_ext.engines.distribute` in a distributed run.
        optimizer: over the network's parameters.
        loss_function: takes what the inferer gives, ``loss_function(*output)``, and gives a scalar.
        train_data_loader: endless batches of images, ``(B, C, *spatial)``, or dictionaries with such an ``"image"``.
            Which samples these are is the batch's ``"sample_id"``, ``(B,)``, or else the loader's ``sample_ids``, as of
            :func:`~monai_ext.data.slice_loader`.
        length: when to stop.
        max_epochs: stops earlier, after so many epochs; schedules still follow ``length``.
        views: random augmentation of a whole batch on the device, to one tensor or to a list of views (B, C, *spatial),
            one of each image in each; None for the images as they are.
        inferer: ``inferer(views, network)`` gives the arguments of the loss; ``sample_ids=`` is added where the network
            takes them.
        schedules: fields of the optimiser's groups that change with the iteration.
        precision: of the forward pass, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``, as
            :class:`~monai_ext.parallel.devices.Precision` chooses; a training that is resumed keeps what it was.
        gradient_clip_norm: upper bound of the global gradient norm; None for optimisers that clip themselves (LAMB).
        accumulation_steps: parts into which a batch is cut for forward and backward, to save memory. Neither the number
            of images a step nor the schedules change with it; batch norm sees the smaller parts.
        channels_last: whether images lie in memory channels last: ``"auto"`` does what is faster for each part of the
            network, see :func:`~monai_ext.parallel.memory_format.arrange_memory`. In a distributed run
            :func:`~monai_ext.engines.distribute` has decided.
        compile: run the network through ``torch.compile``.
        handlers: objects with ``attach(engine)``.

    Raises:
        ValueError: when ``max_epochs`` is beyond ``length``, or a number is out of range.
    """

    inferer: Callable[..., Any]  # type: ignore[assignment]

    def __init__(
        self,
        device: torch.device | str,
        *,
        network: nn.Module,
        optimizer: Optimizer,
        loss_function: Callable[..., Tensor],
        train_data_loader: Iterable[Any],
        length: TrainingLength,
        inferer: Callable[..., Any],
        max_epochs: int | None = None,
        views: Callable[[Tensor], Views] | None = None,
        schedules: Sequence[WarmupCosine] = (),
        precision: str = "auto",
        gradient_clip_norm: float | None = None,
        accumulation_steps: int = 1,
        channels_last: bool | str = "auto",
        compile: bool = False,
        handlers: Sequence[Any] = (),
    ) -> None:
        _check_numbers(length, max_epochs, gradient_clip_norm, accumulation_steps)
        super().__init__(
            device=device,
            max_epochs=length.max_epochs if max_epochs is None else max_epochs,
            train_data_loader=train_data_loader,
            network=network,
            optimizer=optimizer,
            loss_function=loss_function,
            inferer=inferer,  # type: ignore[arg-type]
            epoch_length=length.epoch_length,
            non_blocking=True,
            event_names=[PretrainingEvents],
            decollate=False,
        )
        self.state.images_seen = 0
        self.state.last_checkpoint = None
        self.memory_formats = memory_formats(network, device=self.state.device, channels_last=channels_last)
        self.memory_format = self.memory_formats[""]
        logger.info("Memory format of the network: %s.", describe_memory(self.memory_formats))
        self.network: nn.Module = torch.compile(network) if compile else network  # type: ignore[assignment]
        self.length = length
        self.views = views
        self.precision = Precision(
            precision, device=self.state.device, fault_on_cpu=fault_of_bf16(unwrap(network), views)
        )
        self.gradient_clip_norm = gradient_clip_norm
        self.accumulation_steps = accumulation_steps
        self._samples_are_unknown = False
        self.schedules = [(schedule, schedule.peaks(optimizer)) for schedule in schedules]
        self.add_event_handler(Events.STARTED, part_random_streams)
        self.add_event_handler(Events.ITERATION_STARTED, self._follow_schedules)
        self._register_handlers(handlers)
        self.add_event_handler(Events.ITERATION_COMPLETED, self._stop_at_length)

    @property
    def total_iterations(self) -> int:
        """Iterations until the end of this training, which ``max_epochs`` may put before the end of ``length``."""
        return min(self.length.total_iterations, self.state.max_epochs * self.length.epoch_length)

    def _iteration(self, engine: Any, batchdata: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One optimiser step on one batch."""
        self.network.train()
        parts = self._make_views(batchdata)
        counts = [count for _, count in parts]
        sample_ids = self._sample_ids(batchdata)
        known = [{}] * len(parts) if sample_ids is None else [{"sample_ids": part} for part in sample_ids.split(counts)]
        losses = [
            self._backward(views, share=count / sum(counts), last=index == len(parts) - 1, **known[index])
            for index, (views, count) in enumerate(parts)
        ]
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        self._step()
        self.state.images_seen = self.state.iteration * self.length.batch_size
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return {"loss": torch.stack(losses).sum()}

    def _make_views(self, batchdata: Tensor | Mapping[str, Tensor]) -> list[tuple[Views, int]]:
        """The views of each part of the batch, with the number of its images."""
        images = images_of(batchdata).to(self.state.device, non_blocking=self.non_blocking)
        views = images if self.views is None else self.views(images)
        _check_views(views, images=len(images))
        counts = [len(part) for part in images.chunk(self.accumulation_steps)]
        if isinstance(views, Tensor):
            parts: Iterable[Views] = self._as_network_reads(views).split(counts)
        else:
            parts = map(list, zip(*(self._as_network_reads(view).split(counts) for view in views), strict=True))
        return list(zip(parts, counts, strict=True))

    def _sample_ids(self, batchdata: Tensor | Mapping[str, Tensor]) -> Tensor | None:
        """Which sample each image is, ``(B,)``; None where that is unknown, or the network does not take it."""
        network = unwrap(self.network)
        if not getattr(network, "takes_sample_ids", False):
            return None
        sample_ids = batchdata.get("sample_id") if isinstance(batchdata, Mapping) else None
        sample_ids = getattr(self.data_loader, "sample_ids", None) if sample_ids is None else sample_ids
        if sample_ids is None and not self._samples_are_unknown:
            self._samples_are_unknown = True
            logger.warning(
                "%s is trained without knowing which sample an image is: what it keeps of a sample counts as of "
                "another one. Load with monai_ext.data.slice_loader and a StreamSampler, or give each batch a "
                '"sample_id".',
                type(network).__name__,
            )
        return None if sample_ids is None else sample_ids.to(self.state.device)

    def _as_network_reads(self, view: Tensor) -> Tensor:
        return view.contiguous(memory_format=self.memory_format)

    def _backward(self, views: Views, *, share: float, last: bool, **known: Tensor) -> Tensor:
        """Add the gradients of a part of the batch, weighted by its share; processes exchange them after the last."""
        with gradient_sync(self.network, enabled=last):
            with self.precision.autocast():
                output = self.inferer(views, self.network, **known)
            loss = self.loss_function(*output) * share
            self.precision.scaler.scale(loss).backward()
        return loss.detach()

    def _step(self) -> None:
        scaler = self.precision.scaler
        if self.gradient_clip_norm is not None:
            scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.gradient_clip_norm)
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def _follow_schedules(self) -> None:
        for schedule, peaks in self.schedules:
            schedule.apply(self.optimizer, self.state.iteration - 1, peaks)

    def _stop_at_length(self) -> None:
        """End the last epoch early where the length is no whole number of epochs."""
        if self.state.iteration == self.length.total_iterations and self.state.iteration % self.length.epoch_length:
            self.terminate_epoch()

    def _handle_exception(self, e: BaseException) -> None:
        """Tell the handlers once, then let the exception go on, which Ignite does only when nobody listens."""
        lost = lost_worker(e)
        if lost is not None:
            lost.__cause__, e = e, lost
        if getattr(self, "_reported", None) is not e:
            self._reported = e
            super()._handle_exception(e)
        raise e


def images_of(batch: Tensor | Mapping[str, Tensor]) -> Tensor:
    """The images of a batch: the batch itself, or its entry ``"image"``."""
    return batch["image"] if isinstance(batch, Mapping) else batch


def _check_views(views: Views, *, images: int) -> None:
    counts = [len(view) for view in ([views] if isinstance(views, Tensor) else views)]
    if not counts or set(counts) != {images}:
        raise ValueError(
            f"The views of {images} images must each hold one of every image; received views of {counts} images."
        )


def _check_numbers(
    length: TrainingLength, max_epochs: int | None, gradient_clip_norm: float | None, accumulation_steps: int
) -> None:
    if max_epochs is not None and not 1 <= max_epochs <= length.max_epochs:
        raise ValueError(
            f"max_epochs can only stop a training earlier than its length of {length.max_epochs} epochs; received "
            f"{max_epochs}. To train for longer, change epochs or images_seen, which the schedules follow."
        )
    if gradient_clip_norm is not None and gradient_clip_norm <= 0:
        raise ValueError(f"gradient_clip_norm must be above 0, or None to never clip; received {gradient_clip_norm}.")
    if not 1 <= accumulation_steps <= length.batch_size:
        raise ValueError(
            f"accumulation_steps cuts a batch of {length.batch_size} images into parts of at least one image; received "
            f"{accumulation_steps}."
        )
