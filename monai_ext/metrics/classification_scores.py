"""The classification metrics, twice: by scikit-learn for the value, and for many resamples at once for its interval.

Both have the same keys. Values of scikit-learn with ``sample_weight`` and those of the resamples are equal, which is a
test. For 2,000 resamples of 500 images, scikit-learn takes a minute, this a quarter of a second.
"""

from __future__ import annotations

import numpy as np

from monai_ext.metrics.calibration_error import calibration_bins
from monai_ext.metrics.class_predictions import ClassPredictions

__all__ = ["PER_CLASS", "resampled_scores", "scores"]

PER_CLASS = ("auc", "average_precision", "sensitivity", "specificity", "precision", "f1")
_BLOCK_VALUES = 2_000_000

Scores = dict[str, np.ndarray]


def scores(predictions: ClassPredictions, sample_weight: np.ndarray | None = None) -> tuple[Scores, Scores]:
    """Metrics of all images together (scalars), and one against the rest for each class (K,), by scikit-learn.

    Args:
        predictions: N images.
        sample_weight: (N,) how often each counts; once when omitted.
    """
    from sklearn import metrics

    labels, predicted = predictions.labels, predictions.predicted
    shares, weight = predictions.probabilities, sample_weight
    classes = range(len(predictions.class_names))
    truth = labels[:, None] == np.arange(len(classes))
    of_class = {
        "auc": [metrics.roc_auc_score(truth[:, k], shares[:, k], sample_weight=weight) for k in classes],
        "average_precision": [
            metrics.average_precision_score(truth[:, k], shares[:, k], sample_weight=weight) for k in classes
        ],
        "sensitivity": metrics.recall_score(labels, predicted, average=None, sample_weight=weight),
        "specificity": [
            metrics.recall_score(truth[:, k], predicted == k, pos_label=False, sample_weight=weight) for k in classes
        ],
        "precision": metrics.precision_score(labels, predicted, average=None, zero_division=0, sample_weight=weight),
        "f1": metrics.f1_score(labels, predicted, average=None, sample_weight=weight),
    }
    per_class = {name: np.array(values) for name, values in of_class.items()}
    ones = np.ones(len(labels)) if weight is None else weight
    together = _averages(predictions, per_class) | {
        "accuracy": metrics.accuracy_score(labels, predicted, sample_weight=weight),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted, sample_weight=weight),
        "brier_score": _brier(predictions, weight),
        "calibration_error": calibration_bins(predictions).errors(ones[None])[0],
    }
    if predictions.positive is not None:
        is_positive, called = labels == predictions.positive, predictions.called_positive
        together["sensitivity"] = metrics.recall_score(is_positive, called, sample_weight=weight)
        together["specificity"] = metrics.recall_score(is_positive, called, pos_label=False, sample_weight=weight)
    return together, per_class


def resampled_scores(predictions: ClassPredictions, weights: np.ndarray) -> tuple[Scores, Scores]:
    """As :func:`scores` for R resamples at once: metrics (R,), and of each class (R, K).

    Args:
        predictions: N images.
        weights: (R, N) how often each image is in each resample; no class is missing in any.
    """
    rows = max(1, _BLOCK_VALUES // weights.shape[1])
    blocks = [
        _block_scores(predictions, weights[first : first + rows].astype(np.float64))
        for first in range(0, len(weights), rows)
    ]
    together = {name: np.concatenate([block[0][name] for block in blocks]) for name in blocks[0][0]}
    return together, {name: np.concatenate([block[1][name] for block in blocks]) for name in PER_CLASS}


def _block_scores(predictions: ClassPredictions, weights: np.ndarray) -> tuple[Scores, Scores]:
    total = weights.sum(axis=1)
    per_class = _counted(predictions, weights)
    ranked = [_ranked(predictions.probabilities[:, k], predictions.labels == k, weights) for k in _classes(predictions)]
    per_class["auc"], per_class["average_precision"] = (
        np.stack(values, axis=1) for values in zip(*ranked, strict=True)
    )
    together = _averages(predictions, per_class) | {
        "accuracy": weights @ (predictions.predicted == predictions.labels) / total,
        "balanced_accuracy": per_class["sensitivity"].mean(axis=1),
        "brier_score": weights @ _squared_errors(predictions) / total,
        "calibration_error": calibration_bins(predictions).errors(weights),
    }
    if predictions.positive is not None:
        is_positive, called = predictions.labels == predictions.positive, predictions.called_positive
        together["sensitivity"] = weights @ (is_positive & called) / (weights @ is_positive)
        together["specificity"] = weights @ ~(is_positive | called) / (weights @ ~is_positive)
    return together, per_class


def _averages(predictions: ClassPredictions, per_class: Scores) -> Scores:
    """Scores of the positive class, or means over the classes, from the last axis of those of each class."""
    scored = list(predictions.scored)
    return {
        "auc": per_class["auc"][..., scored].mean(axis=-1),
        "average_precision": per_class["average_precision"][..., scored].mean(axis=-1),
        "macro_f1": per_class["f1"].mean(axis=-1),
    }


def _counted(predictions: ClassPredictions, weights: np.ndarray) -> Scores:
    """What follows from counts of true and predicted classes."""
    numbers = np.arange(len(predictions.class_names))
    is_class = predictions.labels[:, None] == numbers
    is_called = predictions.predicted[:, None] == numbers
    total = weights.sum(axis=1, keepdims=True)
    members, called, hits = weights @ is_class, weights @ is_called, weights @ (is_class & is_called)
    return {
        "sensitivity": hits / members,
        "specificity": (total - members - called + hits) / (total - members),
        "precision": np.divide(hits, called, out=np.zeros_like(hits), where=called > 0),
        "f1": 2 * hits / (members + called),
    }


def _ranked(share: np.ndarray, is_class: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUC and average precision, (R,) each, of one class; images with equal probability are passed together."""
    order = np.argsort(-share, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(share[order])), len(share) - 1)
    found = np.cumsum(weights[:, order] * is_class[order], axis=1)[:, ends]
    passed = np.cumsum(weights[:, order], axis=1)[:, ends]
    recall = found / found[:, -1:]
    false_alarm = (passed - found) / (passed - found)[:, -1:]
    gained = np.diff(recall, axis=1, prepend=0)
    auc = (np.diff(false_alarm, axis=1, prepend=0) * (recall - gained / 2)).sum(axis=1)
    precision = np.divide(found, passed, out=np.zeros_like(found), where=passed > 0)
    return auc, (gained * precision).sum(axis=1)


def _squared_errors(predictions: ClassPredictions) -> np.ndarray:
    """(N,) squared distance of the positive class's probability, or of the vector of all, from the truth."""
    numbers = np.arange(len(predictions.class_names))
    squares = (predictions.probabilities - (predictions.labels[:, None] == numbers)) ** 2
    return squares.sum(axis=1) if predictions.positive is None else squares[:, predictions.positive]


def _brier(predictions: ClassPredictions, weight: np.ndarray | None) -> float:
    from sklearn.metrics import brier_score_loss

    if predictions.positive is not None:
        is_positive = predictions.labels == predictions.positive
        share = predictions.probabilities[:, predictions.positive]
        return float(brier_score_loss(is_positive, share, sample_weight=weight, labels=[False, True]))
    rows = predictions.probabilities / predictions.probabilities.sum(axis=1, keepdims=True)
    labels = list(_classes(predictions))
    return float(brier_score_loss(predictions.labels, rows, sample_weight=weight, labels=labels, scale_by_half=False))


def _classes(predictions: ClassPredictions) -> range:
    return range(len(predictions.class_names))
