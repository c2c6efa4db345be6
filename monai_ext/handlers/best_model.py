"""Keep the weights that did best on held-out images, stop when nothing gets better, and judge the best at the end."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from ignite.engine import Events

from monai_ext.files import write_result
from monai_ext.foreign_text import listed
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.parallel.processes import process_count, process_rank, unwrap
from monai_ext.torch_files import read_torch_file

__all__ = ["BEST_WEIGHTS", "BestModel", "BestModelResults"]

BEST_WEIGHTS = "best_weights.pt"

logger = logging.getLogger(__name__)

_SMALLER_IS_BETTER = ("loss", "brier_score", "calibration_error", "volume_error", "missed", "false_alarms")


class BestModel:
    """After each validation, save the network's weights if a metric is better than ever before.

    The best value and its epoch are in the trainer's ``state.best_metric`` and ``state.best_metric_epoch``, which
    checkpoints keep. Of equally good epochs the first is kept. A value that is not finite is never the best. Attach it
    after the validation and before the checkpoints.

    Args:
        output_dir: folder of the weights, ``best_weights.pt``, a state dict; it is made.
        evaluator: whose ``state.metrics`` have just been computed when an epoch of the trainer ends.
        metric: name of the metric; larger is better, but for losses, the Brier score, the calibration error, and of
            segmentations the volume error and the shares of missed cases and false alarms. None
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
                f" {listed(sorted(metrics)) or 'nothing'}."
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
        write_result(self.path, lambda file: torch.save(weights, file), what="the best model", state=engine.state)


class BestModelResults:
    """Run the evaluator on the best weights, with pictures, tables and a threshold.

    The threshold that ``results`` chooses on these images is what evaluation on other images uses. Afterwards the
    trainer's network has its last weights again, from which training may go on, and ``state.best_weights`` is the path
    of the best. Attach it after the checkpoints.

    Args:
        output_dir: folder of :class:`~monai_ext.handlers.BestModel`; the files are written to ``validation`` in it.
        evaluator: of the held-out images, on the trainer's network.
        results: of the evaluator; writes what there is to see: :class:`~monai_ext.handlers.ClassificationResults` or
            :class:`~monai_ext.handlers.SegmentationResults`.
        tracker: follows the trainer, as if it were attached after this handler, and of the evaluator,
            which tells it the metrics: as ``best_<name>``; None for none.
    """

    def __init__(self, output_dir: str | Path, *, evaluator: Any, results: Any, tracker: Any = None) -> None:
        self.path = Path(output_dir) / BEST_WEIGHTS
        self.folder = Path(output_dir) / "validation"
        self.evaluator = evaluator
        self.results = results
        self.tracker = tracker

    def attach(self, engine: Any) -> None:
        """Act when the trainer has ended."""
        engine.add_event_handler(Events.COMPLETED, self._judge)
        if self.tracker is not None:
            self.tracker.attach(engine)

    def _judge(self, engine: Any) -> None:
        if process_count() > 1:
            torch.distributed.barrier()  # the first process may still be writing
        network = unwrap(engine.network)
        last = copy.deepcopy(network.state_dict())
        network.load_state_dict(read_torch_file(self.path))
        named = contextlib.nullcontext() if self.tracker is None else self.tracker.naming("best_")
        with self.results.writing(self.folder, tracker=self.tracker), named:
            self.evaluator.run(engine.state.epoch)
        network.load_state_dict(last)
        engine.state.best_weights = str(self.path)
        engine.state.threshold = self.results.chosen_threshold
        if self.tracker is not None:
            self.tracker.log_metrics({"best_epoch": engine.state.best_metric_epoch})
