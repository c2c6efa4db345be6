"""Evaluate during training."""

from __future__ import annotations

from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.engines.pretraining_trainer import PretrainingTrainer

__all__ = ["ValidationRunner"]


class ValidationRunner:
    """Run an evaluator every few epochs and after the last, and hand its metrics to the trainer.

    The metrics are in the trainer's ``state.metrics`` when ``PretrainingEvents.VALIDATION_COMPLETED`` is fired. Unlike
    MONAI's ``ValidationHandler``, which leaves them in the evaluator, this lets one handler follow training and
    validation.

    Args:
        evaluator: gives the metrics.
        every_epochs: epochs between evaluations.

    Raises:
        ValueError: when ``every_epochs`` is not positive.
    """

    def __init__(self, evaluator: PretrainingEvaluator, *, every_epochs: int = 1) -> None:
        self.evaluator = evaluator
        self._epochs = epochs_completed(every_epochs)

    def attach(self, engine: PretrainingTrainer) -> None:
        """Evaluate at the end of epochs of the trainer."""
        engine.add_event_handler(self._epochs, self._validate)

    def _validate(self, engine: PretrainingTrainer) -> None:
        self.evaluator.run(global_epoch=engine.state.epoch)
        engine.state.metrics.update(self.evaluator.state.metrics)
        engine.fire_event(PretrainingEvents.VALIDATION_COMPLETED)
