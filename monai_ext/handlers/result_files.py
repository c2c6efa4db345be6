"""What the results of all tasks share: tables of estimates, metrics as numbers, and files that go to the tracker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.files import write_result
from monai_ext.foreign_text import csv_text
from monai_ext.metrics import Estimate

if TYPE_CHECKING:
    from monai_ext.tracking import MLflowTracker

__all__ = ["ResultsWriting", "cell", "log_result_files", "metric_numbers", "write_estimates", "write_table"]


class ResultsWriting:
    """Where a handler of results writes, which may be somewhere for a while.

    Attributes:
        folder: of the files; None writes nothing.
        tracker: logs pictures and tables besides.
    """

    folder: Path | None
    tracker: MLflowTracker | None

    @contextmanager
    def writing(self, folder: str | Path, *, tracker: MLflowTracker | None = None) -> Iterator[None]:
        """Write what there is to see to a folder, for the evaluations inside the context."""
        before = self.folder, self.tracker
        self.folder, self.tracker = Path(folder), tracker
        try:
            yield
        finally:
            self.folder, self.tracker = before


def metric_numbers(metrics: Mapping[str, Estimate], ending: str = "") -> dict[str, float]:
    """``<name><ending>`` of each metric, and its interval, where there is one, as ``..._low`` and ``..._high``."""
    numbers: dict[str, float] = {}
    for name, estimate in metrics.items():
        numbers[f"{name}{ending}"] = estimate.value
        if np.isfinite(estimate.low):
            numbers |= {f"{name}{ending}_low": estimate.low, f"{name}{ending}_high": estimate.high}
    return numbers


def write_estimates(
    folder: Path,
    results: Mapping[str, Any],
    *,
    judged: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write ``metrics.json``, ``metrics.csv`` and ``per_class.csv``.

    Args:
        folder: of the files.
        results: evaluations by what they are of: of everything, and where there is one also ``"without excluded"``.
        judged: what was judged, such as ``"images"``: the first column's name.
        details: plain values to keep in ``metrics.json``.

    Raises:
        TrainingStoppedError: the disk refuses.
    """
    evaluation, *rest = results.values()
    content = evaluation.to_json() | dict(details or {})
    if rest:
        content["without_excluded"] = rest[0].to_json()
    _write_text(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    write_table(folder / "metrics.csv", [judged, "metric", "value", "low", "high"], _metric_rows(results))
    rows = [_flat(row) for row in evaluation.per_class]
    write_table(folder / "per_class.csv", list(rows[0]), (row.values() for row in rows))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file.

    Raises:
        TrainingStoppedError: the disk refuses.
    """
    _write_text(path, csv_text(header, rows))


def cell(value: float) -> float | str:
    """A number in a table; empty where it is none."""
    return float(value) if np.isfinite(value) else ""


def log_result_files(tracker: MLflowTracker, folder: Path, *, pictures: Iterable[str], tables: Iterable[str]) -> None:
    """Log pictures, ``metrics.json``, and CSV files of a result's folder with the run."""
    for name in pictures:
        tracker.log_picture(folder / f"{name}.png", name=name)
    tracker.log_json(json.loads((folder / "metrics.json").read_text()), file="results/metrics.json")
    for table in tables:
        if table.endswith(".csv"):
            tracker.log_artifact(folder / table, folder="results")


def _metric_rows(results: Mapping[str, Any]) -> Iterable[list[Any]]:
    for name, evaluation in results.items():
        for metric, estimate in evaluation.metrics.items():
            yield [name, metric, *map(cell, (estimate.value, estimate.low, estimate.high))]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates become three columns."""
    cells: dict[str, Any] = {}
    for name, content in row.items():
        if isinstance(content, Estimate):
            cells |= {name: cell(content.value), f"{name}_low": cell(content.low), f"{name}_high": cell(content.high)}
        else:
            cells[name] = content
    return cells


def _write_text(path: Path, text: str) -> None:
    write_result(path, lambda file: file.write(text.encode()), what="a table")
