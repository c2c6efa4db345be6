"""Give MONAI's own trainer what the handlers of this project read from theirs."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events

from monai_ext.engines.automatic_choices import precision_of
from monai_ext.engines.events import PretrainingEvents
from monai_ext.networks.view_checks import fault_of_bf16
from monai_ext.optimizers.training_length import TrainingLength
from monai_ext.parallel.devices import Precision
from monai_ext.parallel.processes import unwrap
from monai_ext.parallel.random_streams import part_random_streams

__all__ = ["TrainingBookkeeping"]


class TrainingBookkeeping:
    """Images seen, length, precision and events on a ``SupervisedTrainer``; attach it before all other handlers.

    With it, checkpoints, resumption, the guard against losses that are no numbers, graceful termination, progress and
    tracking work on MONAI's trainer as they do in pre-training, and an exception always leaves ``run``: Ignite drops
    one that a handler has listened to.

    Args:
        length: of the training; the trainer's ``max_epochs`` and ``epoch_length`` have to be taken from it.
    """

    def __init__(self, length: TrainingLength) -> None:
        self.length = length

    def attach(self, engine: Any) -> None:
        """Prepare the trainer, and keep its books in every iteration."""
        engine.register_events(*PretrainingEvents)
        engine.length = self.length
        engine.total_iterations = self.length.total_iterations
        engine.state.images_seen = 0
        engine.state.last_checkpoint = None
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def _start(self, engine: Any) -> None:
        engine.precision = precision_of(engine) or Precision("fp32", device=engine.state.device)
        views = getattr(engine.prepare_batch, "views", None)
        engine.precision.heed(fault_of_bf16(unwrap(engine.network), views))
        part_random_streams()
        if not engine.has_event_handler(_raise_again, Events.EXCEPTION_RAISED):
            engine.add_event_handler(Events.EXCEPTION_RAISED, _raise_again)  # now that all others are attached

    def _count(self, engine: Any) -> None:
        state = engine.state
        state.images_seen = state.iteration * self.length.batch_size
        state.output = {**state.output, "loss": state.output["loss"].detach()}


def _raise_again(engine: Any, error: BaseException) -> None:
    raise error
