"""How far features spread over the sphere: the simplest sign of collapse."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

__all__ = ["checked_features", "feature_std"]


def feature_std(features: Tensor) -> float:
    """Standard deviation of L2-normalised features, averaged over their D dimensions, times sqrt(D).

    As Chen & He 2021, "Exploring Simple Siamese Representation Learning", section 4.1, watch it: 0 when all images have
    one feature (collapse), near 1 when directions are spread like those of an isotropic Gaussian. Features that are
    never negative, as those of a ResNet after its ReLU, share a direction and stay well below 1.

    Args:
        features: (N, D), one row an image, N at least 2.

    Returns:
        A value within [0, 1].

    Raises:
        ValueError: the features are no matrix of finite numbers with two rows.

    >>> round(feature_std(torch.tensor([[2.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    1.0
    """
    directions = normalize(checked_features(features), dim=1)
    return float(directions.std(dim=0, correction=0).mean() * features.shape[1] ** 0.5)


def checked_features(features: Tensor) -> Tensor:
    """The features in float64 on the CPU.

    Raises:
        ValueError: they are no matrix (N, D) of finite numbers with at least two rows.
    """
    if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
        raise ValueError(
            "Features are judged as a matrix (N, D), one row for each of at least 2 images; received a tensor of shape"
            f" {tuple(features.shape)}."
        )
    features = features.detach().to("cpu", torch.float64)
    if not features.isfinite().all():
        broken = int((~features.isfinite()).any(dim=1).sum())
        raise ValueError(
            f"{broken} of {len(features)} images have features that are not finite: the network's weights, or the"
            " images, are broken."
        )
    return features
