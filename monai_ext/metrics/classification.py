"""How good a classifier is: metrics with intervals over patients, a table of the classes, the confusion matrix."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monai_ext.metrics.class_predictions import ClassPredictions, check_predictions
from monai_ext.metrics.classification_scores import PER_CLASS, Scores, resampled_scores, scores
from monai_ext.metrics.group_bootstrap import GroupResamples, resample_groups

__all__ = ["ClassificationEvaluation", "Estimate", "evaluate_classification", "json_estimate"]

logger = logging.getLogger(__name__)

_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; the ends are NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        return f"{self.value:.3f}" if math.isnan(self.low) else f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class ClassificationEvaluation:
    """Made by :func:`evaluate_classification`.

    Attributes:
        metrics: by name, see :func:`evaluate_classification`.
        per_class: one row a class, judged against the rest: class, images, groups, and estimates by name.
        confusion: (K, K) numbers of images; rows are true classes, columns the likeliest ones.
        predictions: what was judged.
        resamples: number of bootstrap resamples that the intervals are made of.
        redrawn: resamples that lacked a class and were drawn again.
    """

    metrics: dict[str, Estimate]
    per_class: list[dict[str, Any]]
    confusion: np.ndarray
    predictions: ClassPredictions = field(repr=False)
    resamples: int = 0
    redrawn: int = 0

    def to_json(self) -> dict[str, Any]:
        """Everything but the predictions as JSON values; None stands for what is not defined."""
        judged = self.predictions
        return {
            "images": len(judged.labels),
            "groups": int(judged.groups.max()) + 1,
            "class_names": list(judged.class_names),
            "positive_class": None if judged.positive is None else judged.class_names[judged.positive],
            "threshold": judged.threshold,
            "bootstrap": {"resamples": self.resamples, "redrawn": self.redrawn, "of": "groups"},
            "metrics": {name: json_estimate(estimate) for name, estimate in self.metrics.items()},
            "per_class": [
                {name: json_estimate(cell) if isinstance(cell, Estimate) else cell for name, cell in row.items()}
                for row in self.per_class
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate_classification(
    probabilities: Any,
    labels: Any,
    *,
    class_names: Sequence[str],
    positive_class: str | None = None,
    groups: Sequence[Hashable] | None = None,
    threshold: float | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> ClassificationEvaluation:
    """Judge predicted probabilities against true classes.

    ``docs/metrics.md`` says what each number means. ``auc`` and ``average_precision`` are those of the positive class
    of two, or the mean over the classes, each against the rest. ``accuracy``, ``balanced_accuracy`` and ``macro_f1``
    are of the likeliest class, ``sensitivity`` and ``specificity`` (two classes only) at ``threshold``.
    ``brier_score`` is in [0, 1] for two classes and in [0, 2] for more; ``calibration_error`` has ten bins.

    The interval is from the 2.5th to the 97.5th percentile over resamples of groups (Efron and Tibshirani 1993, "An
    Introduction to the Bootstrap", section 13.3). Resamples that lack a class are drawn again.

    Args:
        probabilities: (N, K) in [0, 1], rows sum to 1; an array, or a tensor of any precision, on any device, with
            gradients or without. Rows of bfloat16 are brought to sum 1, which their rounding spoils.
        labels: (N,) whole numbers from 0 to K - 1; every class must occur.
        class_names: K names, in the order of the columns.
        positive_class: with two classes, the name of the one that is looked for; None with more.
        groups: of every image, its patient; None when every image is of another one.
        threshold: with two classes, an image is called positive from this probability on, chosen on validation by
            :func:`choose_threshold`. The likelier class when None.
        n_bootstrap: number of resamples; 0 for no intervals.
        seed: of the resamples.

    Raises:
        ValueError: shapes, labels, groups or names do not fit, a probability is NaN or none, a class has no image, or
            intervals are asked for and all images are of one group.

    >>> evaluation = evaluate_classification(
    ...     [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]], [0, 0, 1, 1], class_names=["no", "yes"],
    ...     positive_class="yes", n_bootstrap=0,
    ... )
    >>> evaluation.metrics["auc"].value, evaluation.metrics["accuracy"].value
    (1.0, 0.75)
    """
    judged = check_predictions(
        probabilities,
        labels,
        class_names=class_names,
        positive_class=positive_class,
        groups=groups,
        threshold=threshold,
    )
    return evaluate_predictions(judged, n_bootstrap=n_bootstrap, seed=seed)


def evaluate_predictions(
    judged: ClassPredictions, *, n_bootstrap: int = 2000, seed: int = 0
) -> ClassificationEvaluation:
    """As :func:`evaluate_classification`, of predictions that were checked already."""
    from sklearn.metrics import confusion_matrix

    together, per_class = scores(judged)
    resamples = GroupResamples(np.zeros((0, len(judged.labels))), redrawn=0)
    if n_bootstrap:
        resamples = resample_groups(judged, count=n_bootstrap, seed=seed)
    drawn: tuple[Scores, Scores] = ({}, {})
    if len(resamples.weights):
        drawn = resampled_scores(judged, resamples.weights)
    elif n_bootstrap:
        logger.warning(
            "There are no intervals: of %d groups (patients), nearly every resample lacks one of the classes.",
            judged.groups.max() + 1,
        )
    metrics = {name: _estimate(value, drawn[0].get(name)) for name, value in together.items()}
    rows = [_row(judged, number, per_class, drawn[1]) for number in range(len(judged.class_names))]
    confusion = confusion_matrix(judged.labels, judged.predicted, labels=range(len(judged.class_names)))
    return ClassificationEvaluation(
        metrics, rows, confusion, judged, resamples=len(resamples.weights), redrawn=resamples.redrawn
    )


def _estimate(value: Any, draws: np.ndarray | None) -> Estimate:
    if draws is None:
        return Estimate(float(value))
    low, high = np.percentile(draws, _PERCENTILES)
    return Estimate(float(value), float(low), float(high))


def _row(judged: ClassPredictions, number: int, values: Scores, drawn: Scores) -> dict[str, Any]:
    members = judged.labels == number
    row: dict[str, Any] = {"class": judged.class_names[number], "images": int(members.sum())}
    row["groups"] = len(set(judged.groups[members]))
    for name in PER_CLASS:
        row[name] = _estimate(values[name][number], drawn[name][:, number] if drawn else None)
    return row


def json_estimate(estimate: Estimate) -> dict[str, float | None]:
    """The numbers of an estimate; None stands for what is not defined."""
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}
