"""How many dimensions features really use."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ext.metrics.feature_std import checked_features

__all__ = ["effective_rank", "effective_rank_of_moment"]


def effective_rank(features: Tensor) -> float:
    """The exponential of the entropy of the normalised singular values of a matrix of features.

    Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality", definition 1: with singular values
    s, p = s / sum(s), the effective rank is exp(-sum(p log p)). Garrido et al. 2023, "RankMe", section 3, judge
    self-supervised encoders by it, on features as they are, not centred. It is 1 when all features are multiples of one
    (collapse), and at most min(N, D): compare values of equal N and D only.

    Args:
        features: (N, D), one row an image, N at least 2.

    Returns:
        A value within [1, min(N, D)]; 1 when all features are zero.

    Raises:
        ValueError: the features are no matrix of finite numbers with two rows.

    >>> round(effective_rank(torch.eye(3)), 6)
    3.0
    """
    return _of_singular_values(torch.linalg.svdvals(checked_features(features)))


def effective_rank_of_moment(moment: Tensor) -> float:
    """:func:`effective_rank` of features that were too many to keep, from the sum of their outer products.

    Args:
        moment: (D, D), the features' transpose times the features, best summed in float64. Singular values below a
            millionth of the largest are lost in its digits.

    >>> features = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    >>> round(effective_rank_of_moment(features.T @ features), 6)
    2.0
    """
    return _of_singular_values(torch.linalg.eigvalsh(moment.double()).clamp_min(0).sqrt().flip(0))


def _of_singular_values(values: Tensor) -> float:
    """Of singular values in descending order."""
    if not values[0] > 0:
        return 1.0
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())
