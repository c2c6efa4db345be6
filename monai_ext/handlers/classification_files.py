"""The files of a classification's result: tables, predictions and pictures, each there completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.files import write_result
from monai_ext.foreign_text import csv_text
from monai_ext.metrics import (
    ClassificationEvaluation,
    Estimate,
    write_confusion_matrix,
    write_precision_recall,
    write_reliability,
    write_roc,
)

__all__ = ["PICTURES", "TABLES", "write_classification_files"]

PICTURES = {
    "confusion_matrix": write_confusion_matrix,
    "roc": write_roc,
    "precision_recall": write_precision_recall,
    "reliability": write_reliability,
}
TABLES = ("metrics.json", "metrics.csv", "per_class.csv", "predictions.csv")


def write_classification_files(
    folder: Path,
    evaluation: ClassificationEvaluation,
    *,
    columns: Mapping[str, Sequence[Any]] | None = None,
    without_excluded: ClassificationEvaluation | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write ``TABLES``, and a PNG file for each of ``PICTURES``.

    Args:
        folder: of the files; it is made.
        evaluation: the result.
        columns: of ``predictions.csv`` besides index, label, predicted class and probabilities; one value an image.
        without_excluded: the result of a part of the images, told beside.
        details: plain values to keep in ``metrics.json``.

    Raises:
        TrainingStoppedError: the disk refuses.
    """
    content = evaluation.to_json() | dict(details or {})
    results = {"all images": evaluation}
    if without_excluded is not None:
        results["without excluded"] = without_excluded
        content["without_excluded"] = without_excluded.to_json()
    _write_text(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    _write_table(folder / "metrics.csv", ["images", "metric", "value", "low", "high"], _metric_rows(results))
    header = list(_flat(evaluation.per_class[0]))
    _write_table(folder / "per_class.csv", header, (_flat(row).values() for row in evaluation.per_class))
    _write_predictions(folder / "predictions.csv", evaluation, columns or {})
    for name, write in PICTURES.items():
        write_result(folder / f"{name}.png", partial(write, evaluation), what="a picture")


def _metric_rows(results: Mapping[str, ClassificationEvaluation]) -> Iterable[list[Any]]:
    for images, evaluation in results.items():
        for name, estimate in evaluation.metrics.items():
            yield [images, name, estimate.value, _cell(estimate.low), _cell(estimate.high)]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates become three columns."""
    cells: dict[str, Any] = {}
    for name, cell in row.items():
        if isinstance(cell, Estimate):
            cells |= {name: cell.value, f"{name}_low": _cell(cell.low), f"{name}_high": _cell(cell.high)}
        else:
            cells[name] = cell
    return cells


def _cell(value: float) -> float | str:
    return value if np.isfinite(value) else ""


def _write_predictions(path: Path, evaluation: ClassificationEvaluation, columns: Mapping[str, Sequence[Any]]) -> None:
    judged = evaluation.predictions
    names = np.array(judged.class_names, dtype=object)
    header = ["index", *columns, "label", "predicted", *(f"probability_{name}" for name in names)]
    rows = zip(
        range(len(judged.labels)),
        *columns.values(),
        names[judged.labels],
        names[judged.predicted],
        *judged.probabilities.T.tolist(),
        strict=True,
    )
    _write_table(path, header, rows)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    _write_text(path, csv_text(header, rows))


def _write_text(path: Path, text: str) -> None:
    write_result(path, lambda file: file.write(text.encode()), what="a table")
