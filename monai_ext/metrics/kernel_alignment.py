"""How alike two networks see the same images: linear centred kernel alignment, without its bias for few images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["FEWEST_IMAGES", "gram_matrix", "minibatch_cka", "unbiased_hsic"]

FEWEST_IMAGES = 4
"""Of a batch: the estimator divides by n - 3."""


def gram_matrix(features: Tensor) -> Tensor:
    """(N, N), float32: inner products of features (N, D), whose mean is taken away first.

    :func:`unbiased_hsic` does not change by what all images have in common; taken away, it costs no digits.
    """
    values = features.flatten(1).float()
    values = values - values.mean(dim=0, keepdim=True)
    return values @ values.T


def unbiased_hsic(grams: Tensor) -> Tensor:
    """(M, M): the Hilbert-Schmidt independence criterion of all pairs of M networks, unbiased.

    Song et al. 2012, "Feature Selection via Dependence Maximization", theorem 2: with K and L the Gram matrices with
    a diagonal of zeros, it is (tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2/(n-2) 1'KL1) / (n(n-3)). The usual one is
    never negative, and with fewer images than features far above zero for networks that have nothing in common.

    Args:
        grams: (M, n, n), one matrix a network, of the same n images.

    Raises:
        ValueError: fewer than four images.
    """
    count = grams.shape[-1]
    if count < FEWEST_IMAGES:
        raise ValueError(f"The similarity of networks is estimated from at least 4 images; received {count}.")
    matrices = grams.double().clone()
    matrices.diagonal(dim1=-2, dim2=-1).zero_()
    flat, rows = matrices.flatten(1), matrices.sum(dim=-1)
    totals = rows.sum(dim=-1)
    products = flat @ flat.T + totals[:, None] * totals / ((count - 1) * (count - 2))
    return (products - 2 / (count - 2) * rows @ rows.T) / (count * (count - 3))


def minibatch_cka(batches: Sequence[Tensor]) -> Tensor:
    """(M, M): linear centred kernel alignment of all pairs of M networks, 1 for equal ones and about 0 for unrelated.

    Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited", section 3: it does not change when
    features are rotated, mirrored or scaled as a whole, and compares networks of different widths. Estimated as Nguyen
    et al. 2021, "Do Wide and Deep Networks Learn the Same Things?", section 3.2, equation 3: the unbiased criterion is
    averaged over batches before the quotient. The original estimator is large wherever there are fewer images than
    features (for 64 images of 4,096 random features it gives 0.98 to networks that share nothing), and maps have
    thousands; averaged over batches, memory is that of one batch. Values just below 0 are possible, and mean 0.

    Args:
        batches: (M, n, n) Gram matrices of each batch, see :func:`gram_matrix`; all batches of about the same size.

    Raises:
        ValueError: there is no batch, or it has fewer than four images.

    >>> features = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    >>> grams = torch.stack([gram_matrix(features), gram_matrix(-3 * features.flip(1))])
    >>> round(float(minibatch_cka([grams])[0, 1]), 6)
    1.0
    """
    if not batches:
        raise ValueError("The similarity of networks is estimated from at least one batch of images; received none.")
    together = torch.stack([unbiased_hsic(grams) for grams in batches]).mean(dim=0)
    own = together.diagonal().clamp_min(0).sqrt()
    return together / (own[:, None] * own)
