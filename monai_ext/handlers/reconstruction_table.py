"""Write the reconstruction error of an evaluation as a table."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events

from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.files import write_result
from monai_ext.foreign_text import csv_text
from monai_ext.metrics import ReconstructionError

__all__ = ["ReconstructionTable"]

logger = logging.getLogger(__name__)


class ReconstructionTable:
    """Measure every batch of an evaluation; write ``reconstruction_error.csv`` and ``.json`` at its end.

    The numbers are also in ``state.metrics``, as ``<predictor>/<column>``, with ``_own`` after a trivial predictor that
    keeps its own brightness and contrast.

    Args:
        output_dir: folder of the two files; it is made.
        metric: what to measure.
        details: plain values to keep beside the table in the JSON file, such as the data and the model.
    """

    def __init__(
        self, output_dir: str | Path, *, metric: ReconstructionError, details: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = Path(output_dir)
        self.metric = metric
        self.details = dict(details or {})

    def attach(self, engine: PretrainingEvaluator) -> None:
        """Measure all iterations of an evaluation."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.metric.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _measure(self, engine: PretrainingEvaluator) -> None:
        self.metric.update(*engine.state.output["output"])

    def _write(self, engine: PretrainingEvaluator) -> None:
        rows = self.metric.rows()
        columns = list(rows[0])
        for row in rows:
            suffix = "_own" if row["statistics"] == "own" else ""
            numbers = {name: value for name, value in row.items() if isinstance(value, float)}
            engine.state.metrics.update({f"{row['predictor']}{suffix}/{name}": v for name, v in numbers.items()})
        table = csv_text(columns, ([row.get(name, "") for name in columns] for row in rows))
        content = {"rows": rows, **self.details}
        self._write_text("reconstruction_error.csv", table)
        self._write_text("reconstruction_error.json", json.dumps(content, indent=2))
        logger.info("Reconstruction error of masked patches, in %s:\n%s", self.folder, _as_text(rows, columns))

    def _write_text(self, name: str, text: str) -> None:
        write_result(self.folder / name, lambda file: file.write(text.encode()), what="the table")


def _as_text(rows: list[dict[str, str | float]], columns: list[str]) -> str:
    """The table in columns of equal width, empty where a row has no such number."""
    cells = [columns] + [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"
