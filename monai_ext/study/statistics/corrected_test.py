"""A t-test for results of folds, which are not independent since their training sets overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CorrectedTest", "corrected_resampled_test"]


@dataclass(frozen=True)
class CorrectedTest:
    """Result of :func:`corrected_resampled_test`.

    Attributes:
        difference: mean over the folds.
        low, high: 95 % interval of the mean difference.
        p_value: two-sided.
        folds: number of folds.
    """

    difference: float
    low: float
    high: float
    p_value: float
    folds: int


def corrected_resampled_test(differences: Sequence[float], *, n_test: float, n_train: float) -> CorrectedTest:
    """The corrected resampled t-test of Nadeau and Bengio 2003, "Inference for the Generalization Error", section 4.

    The variance of the mean of J folds is estimated as ``(1/J + n_test/n_train) * s**2``: the second term stands for
    what the folds have in common. Libraries set the ratio to 1/(J - 1), which is right for complete training sets
    only. With 5 folds and a tenth of the labels it is 2.5 and not 0.25, hence both numbers are asked for. The
    correction was derived for random splits; for folds it is an approximation.

    Args:
        differences: of two methods, one a fold; results of several seeds in a fold are averaged before, since they are
            not independent of each other.
        n_test: test items of a fold.
        n_train: items that a fold trained on.

    Raises:
        ValueError: fewer than two folds, a difference that is not finite, or a number of items that is not positive.

    >>> result = corrected_resampled_test([0.02, 0.04, 0.03, 0.05, 0.01], n_test=20, n_train=80)
    >>> round(result.difference, 3), round(result.p_value, 3)
    (0.03, 0.047)
    >>> round(corrected_resampled_test([0.02, 0.04, 0.03, 0.05, 0.01], n_test=20, n_train=8).p_value, 3)
    0.312
    """
    from scipy.stats import t

    values = np.asarray(differences, dtype=np.float64)
    folds = len(values)
    if folds < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"The corrected t-test compares finite differences of at least 2 folds; received {list(differences)}."
        )
    if n_test <= 0 or n_train <= 0:
        raise ValueError(f"Numbers of items are positive; received n_test={n_test} and n_train={n_train}.")
    mean = float(values.mean())
    error = math.sqrt((1 / folds + n_test / n_train) * float(values.var(ddof=1)))
    if error == 0:
        return CorrectedTest(mean, mean, mean, 1.0 if mean == 0 else 0.0, folds)
    reach = float(t.ppf(0.975, folds - 1)) * error
    p_value = float(2 * t.sf(abs(mean) / error, folds - 1))
    return CorrectedTest(mean, mean - reach, mean + reach, p_value, folds)
