"""Stop a training whose loss is no number any more."""

from __future__ import annotations

import math

import torch
from ignite.engine import Events
from torch import Tensor

from monai_ext.engines.pretraining_trainer import PretrainingTrainer, images_of
from monai_ext.errors import TrainingStoppedError

__all__ = ["NonFiniteLossGuard"]


class NonFiniteLossGuard:
    """Raise :class:`~monai_ext.errors.TrainingStoppedError` at the first loss that is not finite.

    The message names the iteration, the last good checkpoint and, where it can be seen, the cause. On a GPU the losses
    are looked at every few iterations only, since each look waits for the device. Attach it before the checkpoints.

    Args:
        every_iterations: iterations between looks on a GPU; on the CPU every iteration is looked at.

    Raises:
        ValueError: when ``every_iterations`` is not positive.
    """

    def __init__(self, *, every_iterations: int = 10) -> None:
        if every_iterations < 1:
            raise ValueError(f"The guard looks every iteration or more rarely; received every {every_iterations}.")
        self.every_iterations = every_iterations
        self._losses: list[tuple[int, Tensor]] = []

    def attach(self, engine: PretrainingTrainer) -> None:
        """Watch ``state.output["loss"]`` of every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._watch)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _watch(self, engine: PretrainingTrainer) -> None:
        loss = engine.state.output["loss"]
        self._losses.append((engine.state.iteration, loss))
        if loss.device.type == "cpu" or len(self._losses) >= self.every_iterations:
            self._look(engine)

    def _look(self, engine: PretrainingTrainer) -> None:
        losses, self._losses = self._losses, []
        if not losses:
            return
        values = torch.stack([loss for _, loss in losses]).tolist()
        for (iteration, _), value in zip(losses, values, strict=True):
            if not math.isfinite(value):
                raise self._error(engine, iteration, value)

    def _error(self, engine: PretrainingTrainer, iteration: int, value: float) -> TrainingStoppedError:
        last = engine.state.last_checkpoint
        if iteration == engine.state.iteration and not images_of(engine.state.batch).isfinite().all():
            cause = "The images of this iteration hold pixels that are not finite: find and remove them"
        else:
            cause = "Lower the learning rate, use bf16 or fp32 in place of fp16, or look for damaged images"
        advice = "then start again" if last is None else "then continue with resume={last}"
        return TrainingStoppedError(
            f"Training stopped: the loss of iteration {iteration} is {value}. The last good checkpoint is {{last}}. "
            f"{cause}, {advice}.",
            last=last,
        )
