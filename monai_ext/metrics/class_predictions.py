"""Predicted probabilities beside the true classes: the checked input of every classification metric."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

__all__ = ["ClassPredictions", "check_predictions"]

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ClassPredictions:
    """Predictions of N images in K classes; made by :func:`check_predictions`.

    Attributes:
        probabilities: (N, K) float64 in [0, 1], rows sum to 1.
        labels: (N,) true classes, positions in ``class_names``; every class occurs.
        class_names: K names.
        positive: position of the positive class, of two; None with more classes.
        groups: (N,) number of each image's group (patient), from 0.
        threshold: of two classes: an image is called positive from this probability on; None for the likelier class.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    positive: int | None
    groups: np.ndarray
    threshold: float | None = None

    @property
    def scored(self) -> tuple[int, ...]:
        """Classes whose one-vs-rest scores are averaged: the positive one of two, else all."""
        return tuple(range(len(self.class_names))) if self.positive is None else (self.positive,)

    @cached_property
    def predicted(self) -> np.ndarray:
        """(N,) the likeliest class; of equals the first."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def called_positive(self) -> np.ndarray:
        """(N,) boolean, of two classes: whether an image is called positive."""
        if self.threshold is None:
            return self.predicted == self.positive
        return self.probabilities[:, self.positive] >= self.threshold

    def part(self, keep: np.ndarray) -> ClassPredictions:
        """The images where ``keep``, (N,) boolean, is True.

        Raises:
            ValueError: a class is no longer there.
        """
        return check_predictions(
            self.probabilities[keep],
            self.labels[keep],
            class_names=self.class_names,
            positive_class=None if self.positive is None else self.class_names[self.positive],
            groups=self.groups[keep].tolist(),
            threshold=self.threshold,
        )


def check_predictions(
    probabilities: Any,
    labels: Any,
    *,
    class_names: Sequence[str],
    positive_class: str | None = None,
    groups: Sequence[Hashable] | None = None,
    threshold: float | None = None,
) -> ClassPredictions:
    """Make sure that predictions can be judged; arguments as for :func:`~monai_ext.metrics.evaluate_classification`.

    Raises:
        ValueError: shapes, labels, groups, names or the threshold do not fit; a probability is not finite, not in
            [0, 1], or a row does not sum to 1; a class has no image.
    """
    class_names = tuple(map(str, class_names))
    shares, truth = _as_array(probabilities).astype(np.float64), _as_array(labels)
    if len(class_names) < 2 or len(set(class_names)) < len(class_names):
        raise ValueError(f"Classification needs at least two classes with different names; received {class_names}.")
    _check_shapes(shares, truth, class_names)
    _check_probabilities(shares, tolerance=_sum_tolerance(probabilities))
    if _sum_tolerance(probabilities) > _SUM_TOLERANCE:
        shares = shares / shares.sum(axis=1, keepdims=True)  # each was rounded by itself
    groups = list(range(len(truth))) if groups is None else list(groups)
    if len(groups) != len(truth):
        raise ValueError(f"Every image needs a group: received {len(truth)} images and {len(groups)} groups.")
    positive = _positive(class_names, positive_class)
    if threshold is not None and (positive is None or not np.isfinite(threshold)):
        raise ValueError(
            f"A threshold is a number, and belongs to the positive class of two; received {threshold} and the classes"
            f" {', '.join(class_names)}."
        )
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([numbers[group] for group in groups])
    return ClassPredictions(shares, truth.astype(np.int64), class_names, positive, codes, threshold)


def _as_array(values: Any) -> np.ndarray:
    """An array of what may be a tensor on any device, of any precision, in a graph of gradients."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy()  # NumPy has no bfloat16


def _sum_tolerance(probabilities: Any) -> float:
    """How far a row's sum may be from 1; further where a tensor's precision rounds more."""
    if not isinstance(probabilities, torch.Tensor) or not probabilities.is_floating_point():
        return _SUM_TOLERANCE
    return max(_SUM_TOLERANCE, torch.finfo(probabilities.dtype).eps)


def _check_shapes(shares: np.ndarray, truth: np.ndarray, class_names: tuple[str, ...]) -> None:
    if shares.ndim != 2 or truth.shape != shares.shape[:1] or shares.shape[1] != len(class_names) or not len(truth):
        raise ValueError(
            f"Classification is judged on probabilities (N, K) and labels (N,) of at least one image; received the"
            f" shapes {shares.shape} and {truth.shape} for the {len(class_names)} classes {', '.join(class_names)}."
        )
    if not np.issubdtype(truth.dtype, np.number) or (truth != np.floor(truth)).any():
        raise ValueError(f"Labels are whole numbers, positions in the class names; received values of {truth.dtype}.")
    outside = np.unique(truth[(truth < 0) | (truth >= len(class_names))])
    if len(outside):
        raise ValueError(
            f"Labels are 0 to {len(class_names) - 1} for the classes {', '.join(class_names)}; received"
            f" {', '.join(map(str, outside[:5].tolist()))}."
        )
    missing = [name for number, name in enumerate(class_names) if number not in truth]
    if missing:
        raise ValueError(
            f"Of the {len(truth)} images none is of class {', '.join(missing)}: AUC, sensitivity and averages over"
            " classes are not defined without it. Judge a set with images of every class."
        )


def _check_probabilities(shares: np.ndarray, *, tolerance: float) -> None:
    bad = ~np.isfinite(shares).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(shares)} predictions are NaN or infinite, the first of image {int(bad.argmax())}: the"
            " network has diverged, or its input is not finite. Nothing is judged."
        )
    bad = (shares < 0).any(axis=1) | (shares > 1).any(axis=1) | (abs(shares.sum(axis=1) - 1) > tolerance)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(shares)} predictions are no probabilities that sum to 1, the first of image"
            f" {int(bad.argmax())}: {shares[bad.argmax()].tolist()}. Apply a softmax to logits first."
        )


def _positive(class_names: tuple[str, ...], positive_class: str | None) -> int | None:
    if len(class_names) > 2:
        if positive_class is not None:
            raise ValueError(
                f"A positive class belongs to two classes; there are {len(class_names)}: leave positive_class out, all"
                " are judged one against the rest."
            )
        return None
    if positive_class not in class_names:
        raise ValueError(
            f"With two classes, say which one is looked for: positive_class is {class_names[0]!r} or"
            f" {class_names[1]!r}; received {positive_class!r}."
        )
    return class_names.index(positive_class)
