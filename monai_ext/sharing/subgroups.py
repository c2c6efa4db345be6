"""How good a classifier is by sex, age, scanner or whatever else is known of the test images, for the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_ext.errors import BundleAuditError
from monai_ext.metrics import evaluate_classification

__all__ = ["measure_subgroups"]

LEAST_IMAGES, LEAST_GROUPS = 10, 5
"""Of each class, in a subgroup: with fewer images or patients an interval says nothing, and a row points at persons."""
MOST_VALUES = 12
SHOWN = ("auc", "accuracy", "sensitivity", "specificity")
UNKNOWN = "not known"


def measure_subgroups(
    columns: Mapping[str, Sequence[str]],
    probabilities: np.ndarray,
    labels: Sequence[int],
    groups: Sequence[str],
    *,
    class_names: Sequence[str],
    positive_class: str | None,
    threshold: float | None,
) -> list[dict[str, Any]]:
    """Judge each subgroup alone, with intervals over its patients.

    Numbers of more than a dozen values, as ages, are cut into three parts of equally many images.

    Args:
        columns: by name, the value of each image; empty where it is not known.
        probabilities: (N, K) of the test images.
        labels: (N,) their classes.
        groups: (N,) their patients.
        class_names: K names.
        positive_class: of two classes, the one that is looked for.
        threshold: chosen on validation.

    Returns:
        One row a subgroup: column, value, images, groups, and estimates; without estimates where it is too small.

    Raises:
        BundleAuditError: a column has more values than there can be subgroups, as names or ids have.
    """
    label_numbers, patients = np.asarray(labels), np.asarray(groups)
    rows = []
    for name, values in columns.items():
        cut = np.asarray(_cut(name, values))
        for value in sorted(set(cut), key=lambda text: (text == UNKNOWN, text)):
            here = cut == value
            row = {"column": name, "value": str(value), "images": int(here.sum()), "groups": len(set(patients[here]))}
            if _is_large(label_numbers[here], patients[here], len(class_names)):
                row |= _judged(
                    probabilities[here], label_numbers[here], patients[here], class_names, positive_class, threshold
                )
            rows.append(row)
    return rows


def _judged(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    class_names: Sequence[str],
    positive_class: str | None,
    threshold: float | None,
) -> dict[str, Any]:
    evaluation = evaluate_classification(
        probabilities,
        labels,
        class_names=class_names,
        positive_class=positive_class,
        groups=groups.tolist(),
        threshold=threshold,
    )
    metrics = evaluation.to_json()["metrics"]
    return {metric: metrics[metric] for metric in SHOWN if metric in metrics}


def _is_large(labels: np.ndarray, groups: np.ndarray, classes: int) -> bool:
    return all(
        (labels == number).sum() >= LEAST_IMAGES and len(set(groups[labels == number])) >= LEAST_GROUPS
        for number in range(classes)
    )


def _cut(name: str, values: Sequence[str]) -> list[str]:
    known = {value for value in values if value}
    if len(known) <= MOST_VALUES:
        return [value or UNKNOWN for value in values]
    try:
        numbers = [float(value) if value else float("nan") for value in values]
    except ValueError:
        raise BundleAuditError(
            f"The column {name!r} has {len(known)} values, {MOST_VALUES} at most make subgroups: it may name persons."
            " Give a column such as sex, age, scanner or hospital."
        ) from None
    low, high = np.nanquantile(numbers, (1 / 3, 2 / 3))
    parts = [f"below {low:g}", f"{low:g} to {high:g}", f"above {high:g}"]
    return [UNKNOWN if np.isnan(n) else parts[int(n >= low) + int(n > high)] for n in numbers]
