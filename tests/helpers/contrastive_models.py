"""BYOL, MoCo and SwAV with a hundred weights in double precision, for the tests of the methods."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from monai_ext.losses import InfoNCELoss, NegativeCosineSimilarity, SwappedAssignmentLoss
from monai_ext.networks import BYOL, MoCo, MomentumQueue, PredictionHead, ProjectionHead, Prototypes, SwAV

FEATURES, LENGTH, BATCH = 4, 3, 4
LOSSES: dict[str, nn.Module] = {
    "BYOL": NegativeCosineSimilarity(),
    "MoCo": InfoNCELoss(),
    "SwAV": SwappedAssignmentLoss(),
}


def small_encoder(*, dims: int = 2, channels: int = 1) -> nn.Sequential:
    """A convolution with batch norm, averaged to a feature vector."""
    convolution, norm, pooling = {
        2: (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.AdaptiveAvgPool3d),
    }[dims]
    stem = convolution(channels, FEATURES, 3, padding=1)
    return nn.Sequential(stem, norm(FEATURES), nn.ReLU(), pooling(1), nn.Flatten())


def plain_encoder(side: int = 8) -> nn.Sequential:
    """An encoder without batch statistics: each image has its feature vector, whatever the others are."""
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, FEATURES))


def small_head(features: int = FEATURES, *, batch_norm: bool = True) -> ProjectionHead:
    return ProjectionHead(features, hidden_features=6, out_features=LENGTH, batch_norm=batch_norm)


def small_method(name: str, encoder: nn.Module | None = None, *, features: int = FEATURES, **options: Any) -> Any:
    """The method in training mode, in float64; its weights are the same each time."""
    torch.manual_seed(0)
    encoder = small_encoder() if encoder is None else encoder
    if name == "BYOL":
        prediction = PredictionHead(LENGTH, hidden_features=5)
        return BYOL(encoder, projection=small_head(features), prediction=prediction).double()
    if name == "MoCo":
        queue = MomentumQueue(options.pop("queue", 6), features=LENGTH)
        return MoCo(encoder, projection=small_head(features, batch_norm=False), queue=queue).double()
    prototypes = Prototypes(options.pop("count", 3), features=LENGTH)
    return SwAV(encoder, projection=small_head(features), prototypes=prototypes, **options).double()


def small_views(
    sizes: tuple[int, ...] = (8, 8), *, batch: int = BATCH, dims: int = 2, channels: int = 1, seed: int = 1
) -> list[Tensor]:
    """Random views of these sides, (B, C, s, s) in float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, channels)
    return [torch.rand(*shape, *(side,) * dims, generator=generator, dtype=torch.float64) for side in sizes]
