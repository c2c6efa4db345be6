"""How many labels a class a method needs to reach a given score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LabelsToTarget", "labels_to_target"]


@dataclass(frozen=True)
class LabelsToTarget:
    """Labels a class at which a target is reached; infinite where no measured size reaches it.

    Attributes:
        value: for the measured curve.
        low, high: 95 % interval over patients; NaN without resamples.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


def labels_to_target(
    labels: Sequence[float], scores: Sequence[float], *, target: float, draws: np.ndarray | None = None
) -> LabelsToTarget:
    """Interpolate a learning curve between its measured sizes; nothing is told beyond them.

    A measured curve goes up and down by chance. It is made to rise by the pool-adjacent-violators algorithm before the
    target is looked up, on a logarithmic axis of labels.

    Args:
        labels: labels a class of each size, above 0.
        scores: of each size.
        target: wanted score.
        draws: (sizes, R) scores for resamples of patients.

    Raises:
        ValueError: sizes and scores do not fit, or there is none.

    >>> labels_to_target([10, 100], [0.7, 0.9], target=0.8).value
    31.6
    >>> labels_to_target([10, 100], [0.7, 0.9], target=0.95).value
    inf
    """
    sizes = np.asarray(labels, dtype=np.float64)
    curve = np.asarray(scores, dtype=np.float64)
    if not len(sizes) or sizes.shape != curve.shape or (sizes <= 0).any():
        raise ValueError(f"A learning curve has a score for every size above 0; received {labels} and {scores}.")
    order = np.argsort(sizes, kind="stable")
    reached = _reached(np.log(sizes[order]), curve[order], target)
    if draws is None or not draws.shape[1]:
        return LabelsToTarget(reached)
    drawn = [_reached(np.log(sizes[order]), draws[order, place], target) for place in range(draws.shape[1])]
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")
    return LabelsToTarget(reached, float(low), float(high))


def _reached(log_sizes: np.ndarray, curve: np.ndarray, target: float) -> float:
    """The first place where the rising curve reaches the target; the smallest size if it is there from the start."""
    from scipy.optimize import isotonic_regression

    rising = isotonic_regression(curve).x
    above = np.flatnonzero(rising >= target)
    if not len(above):
        return math.inf
    place = int(above[0])
    if place == 0:
        return round(float(np.exp(log_sizes[0])), 1)
    share = (target - rising[place - 1]) / (rising[place] - rising[place - 1])
    return round(float(np.exp(log_sizes[place - 1] + share * (log_sizes[place] - log_sizes[place - 1]))), 1)
