"""When a training has ended, judge the best model on the held-out images once more, with everything there is to see."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from ignite.engine import Events

from monai_ext.handlers.best_model import BEST_WEIGHTS
from monai_ext.handlers.classification_results import ClassificationResults
from monai_ext.parallel.processes import process_count, unwrap

__all__ = ["BestModelResults"]


class BestModelResults:
    """Run the evaluator on the best weights, with pictures, tables and a threshold.

    The threshold that ``results`` chooses on these images is what evaluation on other images uses. Afterwards the
    trainer's network has its last weights again, from which training may go on, and ``state.best_weights`` is the path
    of the best. Attach it after the checkpoints.

    Args:
        output_dir: folder of :class:`~monai_ext.handlers.BestModel`; the files are written to ``validation`` in it.
        evaluator: of the held-out images, on the trainer's network.
        results: of the evaluator; writes what there is to see.
        tracker: follows the trainer, as if it were attached after this handler, and gets the metrics as
            ``best_<name>``; None for none.
    """

    def __init__(
        self, output_dir: str | Path, *, evaluator: Any, results: ClassificationResults, tracker: Any = None
    ) -> None:
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
        network.load_state_dict(torch.load(self.path, map_location="cpu", weights_only=True))
        with self.results.writing(self.folder, tracker=self.tracker):
            self.evaluator.run(engine.state.epoch)
        network.load_state_dict(last)
        engine.state.best_weights = str(self.path)
        engine.state.threshold = None
        if self.results.evaluation is not None:
            engine.state.threshold = self.results.evaluation.predictions.threshold
        if self.tracker is not None:
            metrics = self.evaluator.state.metrics
            self.tracker.log_metrics(
                {f"best_{name}": value for name, value in metrics.items()}
                | {"best_epoch": engine.state.best_metric_epoch}
            )
