"""What contrastive methods optimise in the limit: views of an image lie together, images lie apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize, pdist

from monai_ext.metrics.feature_std import checked_features

__all__ = ["alignment", "uniformity"]


def alignment(first: Tensor, second: Tensor, *, power: float = 2.0) -> float:
    """Mean distance to the given power between the embeddings of two views of each image; smaller is better.

    Wang & Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", equation 7. Embeddings are L2-normalised here. With ``power=2`` it is 2 - 2 cos: 0 for equal views, 2
    for orthogonal ones. On its own it says nothing: a collapsed network is perfectly aligned.

    Args:
        first: (N, D) embeddings of one view of each image.
        second: (N, D) of another view, in the same order.
        power: exponent of the distance, above 0.

    Raises:
        ValueError: the shapes differ, are no matrices of at least two finite rows, or ``power`` is not positive.

    >>> round(alignment(torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([[2.0, 0.0], [4.0, 0.0]])), 6)
    1.0
    """
    if first.shape != second.shape or power <= 0:
        raise ValueError(
            "Alignment compares two views of the same images with a power above 0; received shapes"
            f" {tuple(first.shape)} and {tuple(second.shape)} and power={power}."
        )
    first_views, second_views = (normalize(checked_features(views), dim=1) for views in (first, second))
    return float((first_views - second_views).norm(dim=1).pow(power).mean())


def uniformity(embeddings: Tensor, *, scale: float = 2.0) -> float:
    """Logarithm of the mean Gaussian potential of all pairs of different images; smaller (more negative) is better.

    Wang & Isola 2020, equation 8: log mean exp(-t ||x - y||^2) over the pairs, with t = ``scale``, on L2-normalised
    embeddings. 0 when all are equal (collapse), at least -4 t; for t = 2 and many dimensions, spread evenly over the
    sphere, near -4.

    Args:
        embeddings: (N, D), one view of each image.
        scale: t, above 0.

    Raises:
        ValueError: the embeddings are no matrix of at least two finite rows, or ``scale`` is not positive.

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    -8.0
    """
    if scale <= 0:
        raise ValueError(f"Uniformity has a scale above 0; received {scale}.")
    squares = pdist(normalize(checked_features(embeddings), dim=1)).square()
    return float(torch.logsumexp(-scale * squares, dim=0)) - math.log(len(squares))
