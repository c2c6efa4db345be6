"""Keep the weights that did best on held-out images, and stop when nothing gets better."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from monai_ext.errors import TrainingStoppedError
from monai_ext.files import write_atomically
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.parallel.processes import process_rank, unwrap

__all__ = ["BEST_WEIGHTS", "BestModel"]

BEST_WEIGHTS = "best_weights.pt"

logger = logging.getLogger(__name__)

_SMALLER_IS_BETTER = ("loss", "brier_score", "calibration_error")


class BestModel:
    """After each validation, save the network's weights if a metric is better than ever before.

    The best value and its epoch are in the trainer's ``state.best_metric`` and ``state.best_metric_epoch``, which
    checkpoints keep. Of equally good epochs the first is kept. A value that is not finite is never the best. Attach it
    after the validation and before the checkpoints.

    Args:
        output_dir: folder of the weights, ``best_weights.pt``, a state dict; it is made.
        evaluator: whose ``state.metrics`` have just been computed when an epoch of the trainer ends.
        metric: name of the metric; larger is better, but for losses, the Brier score and the calibration error. None
            keeps the weights of the last epoch, for trainings whose held-out images must not be chosen by.
        patience: stop after so many epochs without a better value, counted from the first epoch in which everything
            learns; None never stops.
        not_before: epoch up to which ``patience`` does not count.

    Raises:
        ValueError: ``patience`` is not positive; and at the end of an epoch, when the metric was not computed.
        TrainingStoppedError: the disk refuses the file.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        evaluator: Any,
        metric: str | None = "auc",
        patience: int | None = None,
        not_before: int = 0,
    ) -> None:
        if patience is not None and patience < 1:
            raise ValueError(f"patience is a number of epochs, at least 1, or None; received {patience}.")
        self.path = Path(output_dir) / BEST_WEIGHTS
        self.evaluator = evaluator
        self.metric = metric
        self.patience = patience
        self.not_before = not_before

    def attach(self, engine: Any) -> None:
        """Look at the metric at the end of the trainer's epochs."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compare)

    def _compare(self, engine: Any) -> None:
        state = engine.state
        value = math.nan if self.metric is None else self._value()
        if self.metric is None or self._is_better(value, state):
            state.best_metric, state.best_metric_epoch = value, state.epoch
            self._save(engine)
        if self.metric is not None:
            logger.info(
                "Epoch %d: %s %.4f on the held-out images; the best was %.4f in epoch %d.",
                state.epoch,
                self.metric,
                value,
                state.best_metric,
                state.best_metric_epoch,
            )
        since = state.epoch - max(state.best_metric_epoch, self.not_before)
        if self.patience is not None and self.metric is not None and since >= self.patience:
            logger.info(
                "Training ends after epoch %d: %s has not been better for %d epochs than %.4f in epoch %d.",
                state.epoch,
                self.metric,
                self.patience,
                state.best_metric,
                state.best_metric_epoch,
            )
            engine.terminate()

    def _value(self) -> float:
        metrics = self.evaluator.state.metrics
        if self.metric not in metrics:
            raise ValueError(
                f"The best model is to be chosen by {self.metric!r}, which the validation did not compute; it gave"
                f" {', '.join(sorted(metrics)) or 'nothing'}."
            )
        return float(metrics[self.metric])

    def _is_better(self, value: float, state: Any) -> bool:
        if not math.isfinite(value):
            return False
        if state.best_metric_epoch == -1:
            return True
        is_loss = str(self.metric).endswith(_SMALLER_IS_BETTER)
        return bool(value < state.best_metric if is_loss else value > state.best_metric)

    def _save(self, engine: Any) -> None:
        if process_rank() != 0:
            return
        weights = weights_on_cpu(unwrap(engine.network))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, lambda file: torch.save(weights, file))
        except OSError as error:
            raise TrainingStoppedError(
                f"Training stopped in epoch {engine.state.epoch}: the best model was not written to {self.path} "
                f"({error.strerror or error}). Free space or choose another output_dir, and resume."
            ) from error
