"""From slices to a series: the rule, its interval, and the threshold that is chosen for series on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from monai_ext.metrics import choose_threshold, evaluate_classification

__all__ = ["MEAN_RULE", "SERIES_RULE", "choose_series_threshold", "highest_tenth", "resampled_interval"]

RESAMPLES = 1000
LEAST_OF_A_CLASS = 5
SERIES_RULE = "mean of the highest tenth of the slices, one at least"
MEAN_RULE = "mean of the slices"
"""Where no class of two is looked for."""


def highest_tenth(probabilities: np.ndarray) -> float:
    """Mean of the highest tenth of the slices, one at least.

    >>> highest_tenth(np.array([0.1, 0.9, 0.2]))
    0.9
    """
    count = max(1, round(len(probabilities) / 10))
    return float(np.sort(probabilities)[-count:].mean())


def resampled_interval(
    probabilities: Sequence[float], rule: Callable[[np.ndarray], float] = highest_tenth
) -> tuple[float, float]:
    """95 % interval of a rule's result when slices are drawn again; the same each time."""
    values = np.asarray(probabilities, float)
    generator = np.random.default_rng(0)
    drawn = [rule(generator.choice(values, len(values))) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def choose_series_threshold(
    probabilities: Sequence[float], positive: Sequence[bool], groups: Sequence[str]
) -> dict[str, Any] | None:
    """The threshold for whole series, by the slices of validation patients, each of whom stands for a series.

    A patient is positive when one slice is. Sensitivity and specificity are judged leaving one out: a patient is called
    at the threshold that was chosen on the others (Youden's index), so that they are not of the data it was chosen on.

    Args:
        probabilities: of the class that is looked for, one a slice.
        positive: whether the slice is of that class.
        groups: the patient of each slice.

    Returns:
        Plain values: rule, threshold, patients, and AUC, sensitivity and specificity with 95 % intervals (over
        patients, and Wilson's); None where there are fewer than five patients of either class.
    """
    names = sorted(set(groups))
    members = {name: [place for place, group in enumerate(groups) if group == name] for name in names}
    scores = np.array([highest_tenth(np.asarray([probabilities[i] for i in members[name]])) for name in names])
    truths = np.array([any(positive[i] for i in members[name]) for name in names])
    if min(truths.sum(), (~truths).sum()) < LEAST_OF_A_CLASS:
        return None
    both = np.stack([1 - scores, scores], axis=1)
    auc = evaluate_classification(both, truths.astype(int), class_names=["no", "yes"], positive_class="yes")
    others = [np.arange(len(names)) != place for place in range(len(names))]
    called = np.array([scores[i] >= _threshold(both[other], truths[other]) for i, other in enumerate(others)])
    return {
        "rule": SERIES_RULE,
        "threshold": float(f"{_threshold(both, truths):.6g}"),
        "patients": len(names),
        "positive_patients": int(truths.sum()),
        "auc": auc.to_json()["metrics"]["auc"],
        "sensitivity": _share(called[truths]),
        "specificity": _share(~called[~truths]),
    }


def _threshold(probabilities: np.ndarray, truths: np.ndarray) -> float:
    return choose_threshold(probabilities, truths.astype(int), positive_class=1)


def _share(right: np.ndarray) -> dict[str, float]:
    from scipy.stats import binomtest

    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return {"value": float(right.mean()), "low": float(interval.low), "high": float(interval.high)}
