"""The files of a classification's result: tables, predictions and pictures, each there completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.files import write_result
from monai_ext.handlers.result_files import write_estimates, write_table
from monai_ext.metrics import (
    ClassificationEvaluation,
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
    results = {"all images": evaluation}
    if without_excluded is not None:
        results["without excluded"] = without_excluded
    write_estimates(folder, results, judged="images", details=details)
    _write_predictions(folder / "predictions.csv", evaluation, columns or {})
    for name, write in PICTURES.items():
        write_result(folder / f"{name}.png", partial(write, evaluation), what="a picture")


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
    write_table(path, header, rows)
