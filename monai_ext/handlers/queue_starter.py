"""Let SwAV's queues take part only after the first epochs."""

from __future__ import annotations

import logging

from ignite.engine import Events

from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.optimizers.training_length import TrainingLength
from monai_ext.parallel.processes import unwrap

__all__ = ["QueueStarter"]

logger = logging.getLogger(__name__)


class QueueStarter:
    """Set ``network.queue_started`` by the iteration: at first embeddings change too fast for earlier ones to help.

    The queues of :class:`~monai_ext.networks.SwAV` are filled from then on, and used once they are full (Caron et al.
    2020, section 3.1). The start is a function of the iteration alone, so that a resumed training has the same.

    A budget in images is met in images: the default is as many as 15 epochs have, but at most a quarter of the budget,
    since equal budgets may be only a few epochs long. A budget in epochs takes the epochs as they are.

    Args:
        epochs: full epochs without queue; 15 in the authors' training and in the study, 0 starts at once.
        images_seen: images without queue, in place of ``epochs``.

    Raises:
        ValueError: when a number is negative.

    Example:
        >>> length = TrainingLength(samples=100, batch_size=10, epochs=20)
        >>> QueueStarter().iterations_without(length), QueueStarter(images_seen=45).iterations_without(length)
        (150, 5)
    """

    MAX_FRACTION_OF_IMAGES = 0.25

    def __init__(self, epochs: float = 15, *, images_seen: int | None = None) -> None:
        if epochs < 0 or (images_seen is not None and images_seen < 0):
            raise ValueError(
                f"A queue starts after 0 or more epochs, or images; received epochs={epochs}, images_seen="
                f"{images_seen}."
            )
        self.epochs = epochs
        self.images_seen = images_seen

    def attach(self, engine: PretrainingTrainer) -> None:
        """Act before each iteration."""
        self._start = self.iterations_without(engine.length)
        engine.add_event_handler(Events.STARTED, self._tell)
        engine.add_event_handler(Events.ITERATION_STARTED, self._set)

    def iterations_without(self, length: TrainingLength) -> int:
        """Iterations before the queues start, in a training of that length."""
        if self.images_seen is not None:
            return -(-self.images_seen // length.batch_size)
        iterations = round(self.epochs * length.epoch_length)
        if not length.in_images:
            return iterations
        return min(iterations, int(self.MAX_FRACTION_OF_IMAGES * length.total_iterations))

    def _set(self, engine: PretrainingTrainer) -> None:
        unwrap(engine.network).queue_started = engine.state.iteration > self._start

    def _tell(self, engine: PretrainingTrainer) -> None:
        if self._start >= engine.length.total_iterations:
            logger.warning(
                "SwAV's queues never start: the training has %d iterations, they start after %d. Let them start earlier"
                " (queue_start_epochs, queue_start_images), or train for longer.",
                engine.length.total_iterations,
                self._start,
            )
        else:
            images = self._start * engine.length.batch_size
            logger.info("SwAV's queues start after %d iterations (%d images).", self._start, images)
