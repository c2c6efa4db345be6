"""When a training has ended, judge the best model on the held-out images once more, with everything there is to see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed
from ignite.engine import Events

from monai_ext.handlers.classification_results import ClassificationResults
from monai_ext.parallel.processes import process_count, unwrap

__all__ = ["BestModelResults"]


class BestModelResults:
    """Put the best weights into the trainer's network, and run the evaluator with pictures, tables and a threshold.

    The threshold that ``results`` chooses on these images is what evaluation on other images uses. Attach it after the
    checkpoints, which must keep the last weights, and before the tracker.

    Args:
        path: file of :class:`~monai_ext.handlers.BestModel`.
        evaluator: of the held-out images, on the trainer's network.
        results: writes what there is to see.
        tracker: gets the metrics as ``best_<name>``; None for none.
    """

    def __init__(
        self, path: str | Path, *, evaluator: Any, results: ClassificationResults, tracker: Any = None
    ) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.results = results
        self.tracker = tracker

    def attach(self, engine: Any) -> None:
        """Act when the trainer has ended."""
        engine.add_event_handler(Events.COMPLETED, self._judge)

    def _judge(self, engine: Any) -> None:
        if process_count() > 1:
            torch.distributed.barrier()  # the first process may still be writing
        best = torch.load(self.path, map_location="cpu", weights_only=True)
        unwrap(engine.network).load_state_dict(best)
        self.results.attach(self.evaluator)
        self.evaluator.run(engine.state.epoch)
        engine.state.threshold = None
        if self.results.evaluation is not None:
            engine.state.threshold = self.results.evaluation.predictions.threshold
        if self.tracker is not None:
            metrics = self.evaluator.state.metrics
            self.tracker.log_metrics(
                {f"best_{name}": value for name, value in metrics.items()}
                | {"best_epoch": engine.state.best_metric_epoch}
            )
