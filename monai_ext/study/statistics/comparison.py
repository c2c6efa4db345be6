"""Is one method better than another? The paired difference, how sure it is, and whether that may be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monai_ext.metrics.classification import Estimate
from monai_ext.study.statistics.corrected_test import CorrectedTest, corrected_resampled_test
from monai_ext.study.statistics.false_claims import false_claim_probability, paired_outcomes
from monai_ext.study.statistics.holm import holm
from monai_ext.study.statistics.scored_cells import Arm, percentile_estimate

__all__ = ["LEVEL", "Comparison", "compare", "correct_comparisons", "resample_folds", "resampled_p_value"]

LEVEL = 0.05
_FEWEST_BEYOND = 10


@dataclass(frozen=True)
class Comparison:
    """A method minus another one, on the same folds, labels and test patients.

    Attributes:
        difference: of the metric, with its 95 % interval over patients (paired: the same resamples for both).
        test: over folds; None with a single fold.
        p_value: two-sided: of the corrected test, or with a single fold of the resamples of patients.
        p_holm: corrected for the number of comparisons; None before :func:`correct_comparisons`.
        p_resampled: two-sided, from resamples of folds and of patients in them; nothing is claimed by it.
        false_claim: probability that the method with the higher metric is not more accurate.
        patients: test patients.
    """

    difference: Estimate
    test: CorrectedTest | None
    p_value: float
    p_holm: float | None
    p_resampled: float
    false_claim: float
    patients: int

    @property
    def may_be_claimed(self) -> bool:
        """Whether it may be said that the methods differ: the interval excludes 0, and the corrected p is below 5 %."""
        p_value = self.p_value if self.p_holm is None else self.p_holm
        return bool(p_value < LEVEL and (self.difference.low > 0 or self.difference.high < 0))


def compare(first: Arm, second: Arm, *, metric: str = "auc") -> Comparison:
    """Compare two arms on the cells that both have.

    Args:
        first, second: ``first - second`` is judged.
        metric: name of the metric.

    Raises:
        ValueError: the arms have no fold and repeat in common, or were judged on different test sets.
    """
    common = first.keys & second.keys
    if not common:
        raise ValueError("Two methods without a common fold, subset and seed cannot be compared: finish their cells.")
    first, second = first.part(common), second.part(common)
    tested = {(cell.fold, cell.repeat): cell.test_set for cell in second.cells}
    if any(tested[cell.fold, cell.repeat] != cell.test_set for cell in first.cells):
        raise ValueError("Two methods that were judged on different test images cannot be compared: run both again.")
    of_folds = first.fold_means(metric) - second.fold_means(metric)
    drawn = first.fold_draws(metric) - second.fold_draws(metric)
    draws = drawn.mean(axis=0)
    difference = percentile_estimate(float(of_folds.mean()), draws)
    test = None
    if len(of_folds) > 1:
        n_test, n_train = (float(np.mean([getattr(c, name) for c in first.cells])) for name in ("n_test", "n_train"))
        test = corrected_resampled_test(of_folds.tolist(), n_test=n_test, n_train=n_train)
    return Comparison(
        difference=difference,
        test=test,
        p_value=resampled_p_value(draws) if test is None else test.p_value,
        p_holm=None,
        p_resampled=resampled_p_value(resample_folds(drawn)),
        false_claim=_false_claim(first, second, first_is_better=difference.value >= 0),
        patients=first.patients,
    )


def correct_comparisons(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with Holm's correction over all of them."""
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return [replace(comparison, p_holm=p_value) for comparison, p_value in zip(comparisons, adjusted, strict=True)]


def resample_folds(drawn: np.ndarray) -> np.ndarray:
    """(R,) means over folds drawn with replacement, each with a resample of its patients.

    Patients alone tell what other patients would give with the same trained networks; with the folds, other training
    sets vary too.

    Args:
        drawn: (folds, R) the difference in each fold for resamples of its patients.
    """
    chosen = np.random.default_rng(0).integers(0, len(drawn), size=drawn.shape)
    return np.asarray(np.take_along_axis(drawn, chosen, axis=0).mean(axis=0))


def resampled_p_value(draws: np.ndarray) -> float:
    """Two-sided p-value of a paired difference: twice the share of its resamples beyond 0; 1 without resamples.

    Where fewer than 10 of them lie beyond 0 the share is too coarse to be corrected for many comparisons, and the
    tail of a normal distribution with their mean and deviation stands for it.

    Args:
        draws: (R,) the difference for resamples of test patients.

    >>> resampled_p_value(np.array([0.1, 0.2, -0.1, -0.2] * 10))
    1.0
    >>> resampled_p_value(np.linspace(0.9, 1.1, 1000)) < 1e-9
    True
    """
    from scipy.stats import norm

    if not len(draws):
        return 1.0
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    deviation = float(np.std(draws))
    if beyond >= _FEWEST_BEYOND or deviation == 0:
        return float(min(1.0, 2 * (beyond + 1) / (len(draws) + 1)))
    return float(min(1.0, 2 * norm.sf(abs(float(np.mean(draws))) / deviation)))


def _false_claim(first: Arm, second: Arm, *, first_is_better: bool) -> float:
    """Repeats and folds that share a test set are averaged, since they are not further patients."""
    alone = np.zeros(2)
    for test_set in {cell.test_set for cell in first.cells}:
        firsts, seconds = (
            np.mean([cell.correct for cell in arm.cells if cell.test_set == test_set], axis=0)
            for arm in (first, second)
        )
        groups = next(cell.groups for cell in first.cells if cell.test_set == test_set)
        alone += paired_outcomes(firsts, seconds, groups)[:2]
    better, worse = alone if first_is_better else alone[::-1]
    return false_claim_probability(float(better), float(worse))
