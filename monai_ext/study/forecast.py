"""What more labels would bring: learning curves continued by several functions, with a back-test beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from monai_ext.errors import StudyError
from monai_ext.metrics.classification import Estimate

__all__ = ["BackTest", "LearningCurve", "back_test", "forecast", "forecast_gain"]

Shape = Callable[[np.ndarray], np.ndarray]
_FEWEST_SIZES, _FARTHEST = 4, 2.0
_EXPONENTS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
_REACHES = (0.15, 0.3, 0.6, 1.2)
"""Of the exponential approach, as parts of the largest size."""


@dataclass(frozen=True)
class LearningCurve:
    """Scores by number of labels.

    Attributes:
        labels: labels a class of each size, rising.
        scores: (sizes,) mean over folds.
        draws: (sizes, R) the same for resamples of patients and folds.
    """

    labels: np.ndarray
    scores: np.ndarray
    draws: np.ndarray

    def without_largest(self) -> LearningCurve:
        """The curve as it was known before the largest size."""
        return LearningCurve(self.labels[:-1], self.scores[:-1], self.draws[:-1])


@dataclass(frozen=True)
class BackTest:
    """What the forecast would have said of the largest size, had it not been measured.

    Attributes:
        labels: labels a class of the hidden size.
        measured: its score.
        forecast: what was said of it.
    """

    labels: float
    measured: float
    forecast: Estimate

    @property
    def error(self) -> float:
        """Forecast minus measured."""
        return self.forecast.value - self.measured


def forecast(curve: LearningCurve, *, labels: float, fewest_sizes: int = _FEWEST_SIZES) -> Estimate:
    """The score to expect at ``labels`` labels a class.

    A single function misjudges learning curves (Mahmood et al. 2022, arXiv 2207.01725), and one in seven is not even
    monotone (LCDB 1.1). Hence a power law, a logarithm and an exponential approach are fitted to every resample of
    patients and folds; the value is the mean of the three, and the interval covers resamples and functions alike.

    Args:
        curve: what was measured.
        labels: at most twice the largest measured size.
        fewest_sizes: sizes that the curve must have.

    Raises:
        StudyError: fewer than four sizes, or farther than twice the largest.

    >>> sizes = np.array([10.0, 20.0, 40.0, 80.0])
    >>> curve = LearningCurve(sizes, 0.9 - 0.5 * sizes**-0.5, np.zeros((4, 0)))
    >>> round(forecast(curve, labels=160).value, 2)
    0.87
    """
    return _estimate(_said(curve, labels, fewest_sizes))


def forecast_gain(curve: LearningCurve, *, labels: float) -> Estimate:
    """As :func:`forecast`, but what is added to the score of the largest size; resample by resample.

    Raises:
        StudyError: as :func:`forecast`.
    """
    last = np.concatenate([curve.scores[-1:], curve.draws[-1]])
    return _estimate(_said(curve, labels, _FEWEST_SIZES) - last)


def _said(curve: LearningCurve, labels: float, fewest_sizes: int) -> np.ndarray:
    """(functions, 1 + R) scores at ``labels``: for the measured curve, then for each resample."""
    if len(curve.labels) < fewest_sizes:
        raise StudyError(
            f"A forecast needs at least {fewest_sizes} sizes of the labelled set, and there are {len(curve.labels)}:"
            " add fractions or per_class to the plan."
        )
    if labels > _FARTHEST * curve.labels[-1] * (1 + 1e-9):
        raise StudyError(
            f"A forecast reaches at most to twice the largest measured size, {_FARTHEST * curve.labels[-1]:g} labels a"
            f" class; {labels:g} were asked for."
        )
    columns = np.concatenate([curve.scores[:, None], curve.draws], axis=1)
    return np.stack([_fitted(curve.labels, columns, labels, shape) for shape in _shapes(curve.labels[-1])])


def _estimate(said: np.ndarray) -> Estimate:
    value = float(said[:, 0].mean())
    if said.shape[1] == 1:
        return Estimate(value)
    low, high = np.percentile(said[:, 1:], (2.5, 97.5))
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def back_test(curve: LearningCurve) -> BackTest | None:
    """Hide the largest size and forecast it from the others; None with fewer than four sizes."""
    if len(curve.labels) < _FEWEST_SIZES:
        return None
    hidden = float(curve.labels[-1])
    known = curve.without_largest()
    reach = min(hidden, _FARTHEST * float(known.labels[-1]))
    if reach < hidden:
        return None
    said = forecast(known, labels=hidden, fewest_sizes=_FEWEST_SIZES - 1)
    return BackTest(hidden, float(curve.scores[-1]), said)


def _shapes(largest: float) -> list[list[Shape]]:
    """The families of functions: each has one more parameter than level and height, chosen from a list."""

    def power(exponent: float) -> Shape:
        return lambda sizes: sizes**-exponent

    def approach(reach: float) -> Shape:
        return lambda sizes: np.exp(-sizes / (reach * largest))

    return [[power(exponent) for exponent in _EXPONENTS], [np.log], [approach(reach) for reach in _REACHES]]


def _fitted(sizes: np.ndarray, columns: np.ndarray, labels: float, family: Sequence[Shape]) -> np.ndarray:
    """(1 + R,) value at ``labels`` of ``a + b g(n)``, for each column by the best g of a family, within [0, 1]."""
    best_error = np.full(columns.shape[1], np.inf)
    best = np.zeros(columns.shape[1])
    for shape in family:
        inputs = np.stack([np.ones_like(sizes), shape(sizes)], axis=1)
        solution, *_ = np.linalg.lstsq(inputs, columns, rcond=None)
        error = ((inputs @ solution - columns) ** 2).sum(axis=0)
        said = solution[0] + solution[1] * shape(np.array([labels]))[0]
        better = error < best_error
        best[better], best_error[better] = said[better], error[better]
    return np.clip(best, 0.0, 1.0)
