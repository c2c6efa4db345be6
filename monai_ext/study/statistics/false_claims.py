"""How probable it is that "A is better than B" is false, given whom each of them judged right."""

from __future__ import annotations

import numpy as np

__all__ = ["false_claim_probability", "paired_outcomes"]

_PRIOR = 1.0
"""Of each outcome, in patients: the uniform Dirichlet prior."""


def paired_outcomes(
    first_correct: np.ndarray, second_correct: np.ndarray, groups: np.ndarray
) -> tuple[float, float, float]:
    """In patients: judged right by the first alone, by the second alone, and all of them.

    Images of one patient are not independent, so a patient counts as one, divided among the outcomes of its images.

    Args:
        first_correct, second_correct: (N,) boolean, or the mean of several models in [0, 1].
        groups: (N,) number of each image's patient, from 0.

    >>> paired_outcomes(np.array([1, 1, 0]), np.array([0, 1, 1]), np.array([0, 0, 1]))
    (0.5, 1.0, 2.0)
    """
    first, second = np.asarray(first_correct, dtype=np.float64), np.asarray(second_correct, dtype=np.float64)
    weights = 1 / np.bincount(groups)[groups]
    return (
        float((weights * first * (1 - second)).sum()),
        float((weights * second * (1 - first)).sum()),
        float(weights.sum()),
    )


def false_claim_probability(first_alone: float, second_alone: float) -> float:
    """Posterior probability that the first model's accuracy is not above the second's.

    The four outcomes of a paired comparison (both right, one alone, the other alone, both wrong) have a Dirichlet
    posterior (Christodoulou et al. 2025, arXiv 2505.04720). Accuracies differ by the difference of the two middle
    ones, whose share is beta distributed whatever the other two are, so the probability is a value of the beta
    distribution and needs no sampling.

    Args:
        first_alone: patients that the first judged right and the second did not.
        second_alone: the reverse.

    Raises:
        ValueError: a negative number.

    >>> round(false_claim_probability(10, 10), 2), round(false_claim_probability(12, 2), 4)
    (0.5, 0.0037)
    """
    from scipy.stats import beta

    if min(first_alone, second_alone) < 0:
        raise ValueError(f"Numbers of patients are not negative; received {first_alone} and {second_alone}.")
    return float(beta.cdf(0.5, first_alone + _PRIOR, second_alone + _PRIOR))
