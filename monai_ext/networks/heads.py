"""Heads of contrastive methods: small networks on feature vectors, thrown away after pre-training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PredictionHead", "ProjectionHead", "unit_length"]


class ProjectionHead(nn.Module):
    """Multilayer perceptron from the encoder's feature vector to the space in which views are compared.

    It keeps the encoder's features from losing what the comparison does not need (Chen et al. 2020, "A Simple Framework
    for Contrastive Learning of Visual Representations", section 4.2). BYOL takes 4096-256 with batch norm, MoCo v2
    2048-128 without, SwAV 2048-128 with it, SimSiam 2048-2048-2048 with it to the end; ResNet-50 gives 2048 features.

    Args:
        in_features: F, length of the encoder's feature vector (:func:`monai_ext.networks.feature_width`).
        hidden_features: width of the hidden layers.
        out_features: D, length of the projection.
        layers: linear layers, at least 1; all but the last are followed by ReLU.
        batch_norm: normalise before each ReLU.
        output_batch_norm: normalise the projection itself, too; no ReLU follows.

    Raises:
        ValueError: when a width or the number of layers is below 1.

    Example:
        >>> import torch
        >>> ProjectionHead(512, hidden_features=64, out_features=16)(torch.rand(4, 512)).shape
        torch.Size([4, 16])
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden_features: int = 2048,
        out_features: int = 128,
        layers: int = 2,
        batch_norm: bool = False,
        output_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "hidden_features": hidden_features, "out_features": out_features}
        for name, value in {**sizes, "layers": layers}.items():
            if value < 1:
                raise ValueError(f"A head needs {name} of at least 1; received {value}.")
        self.in_features = in_features
        self.out_features = out_features
        widths = [in_features] + [hidden_features] * (layers - 1)
        hidden: list[nn.Module] = []
        for width in widths[:-1]:
            hidden.append(nn.Linear(width, hidden_features, bias=not batch_norm))
            hidden += [nn.BatchNorm1d(hidden_features)] if batch_norm else []
            hidden.append(nn.ReLU(inplace=True))
        last: list[nn.Module] = [nn.Linear(widths[-1], out_features, bias=not output_batch_norm)]
        last += [nn.BatchNorm1d(out_features)] if output_batch_norm else []
        self.layers = nn.Sequential(*hidden, *last)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, F)`` to ``(B, D)``."""
        if features.ndim != 2 or features.shape[1] != self.in_features:
            raise ValueError(
                f"The head takes feature vectors (B, {self.in_features}), but the encoder gave "
                f"{tuple(features.shape)}: set in_features to the encoder's width, and use an encoder that pools."
            )
        projection: Tensor = self.layers(features)
        return projection


class PredictionHead(ProjectionHead):
    """Perceptron that predicts the projection of another view.

    It is that of BYOL's teacher (Grill et al. 2020, section 3.1), or the network's own, where the hidden layer is a
    bottleneck (SimSiam: Chen and He 2021, section 3).

    Args:
        features: D, length of the projection, which is also that of the prediction.
        hidden_features: width of the hidden layer.
        batch_norm: normalise before the ReLU.
    """

    def __init__(self, features: int, *, hidden_features: int = 4096, batch_norm: bool = True) -> None:
        super().__init__(features, hidden_features=hidden_features, out_features=features, batch_norm=batch_norm)


def unit_length(vectors: Tensor) -> Tensor:
    """Scale vectors ``(B, D)`` to length one, in float32 at least, whatever the autocast."""
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)
