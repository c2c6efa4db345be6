"""Numbers as they are written in the report."""

from __future__ import annotations

import math

from monai_ext.metrics.classification import Estimate
from monai_ext.study.statistics import LabelsToTarget

__all__ = ["difference", "labels", "number", "probability"]


def number(estimate: Estimate) -> str:
    """A score with its interval.

    >>> number(Estimate(0.8123, 0.75, 0.861))
    '.812 [.750, .861]'
    """
    if math.isnan(estimate.low):
        return _short(estimate.value)
    return f"{_short(estimate.value)} [{_short(estimate.low)}, {_short(estimate.high)}]"


def difference(estimate: Estimate) -> str:
    """A signed difference with its interval.

    >>> difference(Estimate(0.031, -0.004, 0.066))
    '+.031 [-.004, +.066]'
    """
    if math.isnan(estimate.low):
        return _short(estimate.value, sign="+")
    low, high = (_short(value, sign="+") for value in (estimate.low, estimate.high))
    return f"{_short(estimate.value, sign='+')} [{low}, {high}]"


def probability(value: float | None) -> str:
    """A probability.

    >>> probability(0.00001), probability(0.0421)
    ('< .001', '.042')
    """
    if value is None:
        return "-"
    return "< .001" if value < 0.001 else _short(value)


def labels(needed: LabelsToTarget) -> str:
    """Labels a class.

    >>> labels(LabelsToTarget(31.6, 20.0, math.inf)), labels(LabelsToTarget(math.inf))
    ('32 [20, not reached]', 'not reached')
    """
    counts = [
        f"{value:.0f}" if math.isfinite(value) else "not reached" for value in (needed.value, needed.low, needed.high)
    ]
    if math.isnan(needed.low) or (math.isinf(needed.value) and math.isinf(needed.low)):
        return counts[0]
    return f"{counts[0]} [{counts[1]}, {counts[2]}]"


def _short(value: float, sign: str = "") -> str:
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not text.endswith("1.000") else text
