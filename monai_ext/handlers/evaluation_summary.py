"""Keep the numbers of an evaluation as a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from monai_ext.files import write_result
from monai_ext.parallel.processes import process_rank

__all__ = ["EvaluationSummary"]

logger = logging.getLogger(__name__)


class EvaluationSummary:
    """Write the metrics of an evaluation to ``evaluation.json`` and to the log, when it has ended.

    Attach it after the handlers that measure. In a distributed run the first process writes.

    Args:
        output_dir: folder of the file; it is made.
        details: plain values to keep beside the metrics, such as the data and the model.
    """

    def __init__(self, output_dir: str | Path, *, details: Mapping[str, Any] | None = None) -> None:
        self.path = Path(output_dir) / "evaluation.json"
        self.details = dict(details or {})

    def attach(self, engine: Engine) -> None:
        """Write at the end of the evaluation."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _write(self, engine: Engine) -> None:
        if process_rank() != 0:
            return
        metrics = {name: float(value) for name, value in engine.state.metrics.items()}
        content = json.dumps({"metrics": metrics, **self.details}, indent=2)
        write_result(self.path, lambda file: file.write(content.encode()), what="the summary")
        lines = "\n".join(f"{name:<40} {value:.4g}" for name, value in metrics.items())
        logger.info("The evaluation is in %s:\n%s", self.path, lines)
