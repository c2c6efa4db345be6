"""Results of a cell from its predictions. Test labels are read here, after everything was chosen, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_ext.metrics.class_predictions import check_predictions
from monai_ext.metrics.classification_scores import resampled_scores
from monai_ext.study.cells.cell import Cell
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["judged"]

_DIGITS = 6


def judged(
    probabilities: np.ndarray, *, cell: Cell, task: PreparedTask, chosen: Mapping[str, Any], threshold: float | None
) -> dict[str, Any]:
    """What a record keeps of a cell that was judged on a task.

    Args:
        probabilities: (N, K) of the fold's test images in order.
        cell: that made them.
        task: of the labels.
        chosen: what was chosen on validation.
        threshold: of the positive class, chosen on validation.
    """
    test = task.test_set(cell.fold)
    shares = np.round(np.asarray(probabilities, dtype=np.float64), _DIGITS)
    predictions = check_predictions(
        shares,
        test.labels,
        class_names=task.classes,
        positive_class=task.positive_class,
        groups=test.groups,
        threshold=threshold,
    )
    values = resampled_scores(predictions, np.ones((1, len(test.labels)), dtype=np.int16))[0]
    return {
        "metrics": {name: float(value[0]) for name, value in values.items()},
        "chosen": dict(chosen),
        "threshold": threshold,
        "class_names": list(task.classes),
        "positive_class": task.positive_class,
        "grouped_by": task.items.grouped_by,
        "labels_per_class": task.labels_per_class(cell.size, fold=cell.fold, subset=cell.subset),
        "n_training": len(task.section(cell.size, fold=cell.fold, subset=cell.subset)),
        "n_validation": len(task.section("validation", fold=cell.fold)),
        "test_set": test.name,
        "predictions": {
            "ids": list(test.ids),
            "groups": list(test.groups),
            "labels": test.labels.tolist(),
            "near_duplicates": list(test.near_duplicates),
            "probabilities": shares.tolist(),
        },
    }
