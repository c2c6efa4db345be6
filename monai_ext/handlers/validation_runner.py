"""Evaluate during training."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events
from torch import Tensor

from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.engines.pretraining_trainer import PretrainingTrainer, images_of
from monai_ext.networks.batch_statistics import temporary_batch_statistics
from monai_ext.parallel.processes import unwrap
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["ValidationRunner"]

_IMAGES_FOR_STATISTICS = 256


class ValidationRunner:
    """Run an evaluator every few epochs and after the last, and hand its metrics to the trainer.

    The metrics are in the trainer's ``state.metrics`` when ``PretrainingEvents.VALIDATION_COMPLETED`` is fired. Unlike
    MONAI's ``ValidationHandler``, which leaves them in the evaluator, this lets one handler follow training and
    validation.

    The evaluator's ``state.training_iteration`` tells its handlers how far the training is.

    Args:
        evaluator: gives the metrics.
        every_epochs: epochs between evaluations.
        before_training: evaluate the untrained network as well, before the first iteration (not when a training is
            resumed), so that everything can be compared with where it began. For this its encoder has batch-norm
            statistics of the first held-out images, see
            :func:`~monai_ext.networks.batch_statistics.temporary_batch_statistics`.

    Raises:
        ValueError: when ``every_epochs`` is not positive.
    """

    def __init__(self, evaluator: PretrainingEvaluator, *, every_epochs: int = 1, before_training: bool = True) -> None:
        self.evaluator = evaluator
        self.before_training = before_training
        self._epochs = epochs_completed(every_epochs)

    def attach(self, engine: PretrainingTrainer) -> None:
        """Evaluate at the end of epochs of the trainer, and before the first where it is asked for."""
        if self.evaluator.precision.requested == engine.precision.requested:
            self.evaluator.precision = engine.precision
        if self.before_training:
            engine.add_event_handler(Events.EPOCH_STARTED, self._validate_untrained)
        engine.add_event_handler(self._epochs, self._validate)

    def _validate_untrained(self, engine: PretrainingTrainer) -> None:
        if engine.state.iteration > 0:  # a training that was resumed
            return
        network: Any = unwrap(engine.network)
        forward = network.embed if hasattr(network, "embed") else network.encoder
        with temporary_batch_statistics(network, forward, self._first_images()):
            self._validate(engine)

    def _first_images(self) -> list[Tensor]:
        """Batches of the evaluator's images, as many as are enough for statistics."""
        batches: list[Tensor] = []
        with preserved_random_streams():
            for batch in self.evaluator.data_loader:
                batches.append(images_of(batch).to(self.evaluator.state.device))
                if sum(map(len, batches)) >= _IMAGES_FOR_STATISTICS:
                    break
        return batches

    def _validate(self, engine: PretrainingTrainer) -> None:
        self.evaluator.state.training_iteration = engine.state.iteration
        self.evaluator.run(global_epoch=engine.state.epoch)
        engine.state.metrics.update(self.evaluator.state.metrics)
        engine.fire_event(PretrainingEvents.VALIDATION_COMPLETED)
