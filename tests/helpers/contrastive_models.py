"""The methods that compare views, with a hundred weights in double precision, for the tests of the methods.

Which there are, their losses and the shapes of their heads are read from the bundles.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from helpers.bundle_files import PRETRAINING, merged_config
from monai_ext import networks
from monai_ext.networks import MomentumQueue, PredictionHead, ProjectionHead, Prototypes

FEATURES, LENGTH, BATCH = 4, 3, 4


def _method(config: dict[str, Any]) -> str:
    """Name of the class of a bundle's method."""
    return config["network_def"]["_target_"].rpartition(".")[2]


_CONFIGS = {
    _method(config): config
    for config in (merged_config(bundle, "train") for bundle in PRETRAINING)
    if "projection" in config["network_def"]
}
LOSSES: dict[str, nn.Module] = {
    name: ConfigParser(config).get_parsed_content("loss") for name, config in _CONFIGS.items()
}
_HEADS = {
    name: {
        option: value
        for option, value in config["network_def"]["projection"].items()
        if option in ("layers", "batch_norm", "output_batch_norm")
    }
    for name, config in _CONFIGS.items()
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


def small_head(features: int = FEATURES, *, scale: int = 1, **shape: Any) -> ProjectionHead:
    widths = {"hidden_features": 6 * scale, "out_features": LENGTH * scale}
    return ProjectionHead(features, **widths, **({"batch_norm": True} | shape))


def small_method(
    name: str, encoder: nn.Module | None = None, *, features: int = FEATURES, scale: int = 1, **options: Any
) -> Any:
    """The method in training mode, in float64; its weights are the same each time. Widths grow with ``scale``."""
    torch.manual_seed(0)
    length = LENGTH * scale
    encoder = small_encoder() if encoder is None else encoder
    parts = {
        "projection": lambda: small_head(features, scale=scale, **({"batch_norm": False} | _HEADS[name])),
        "prediction": lambda: PredictionHead(length, hidden_features=5 * scale),
        "queue": lambda: MomentumQueue(options.pop("queue", 6), features=length),
        "prototypes": lambda: Prototypes(options.pop("count", 3), features=length),
    }
    method = getattr(networks, name)
    taken = {part: build() for part, build in parts.items() if part in signature(method).parameters}
    return method(encoder, **taken, **options).double()


def small_views(
    sizes: tuple[int, ...] = (8, 8), *, batch: int = BATCH, dims: int = 2, channels: int = 1, seed: int = 1
) -> list[Tensor]:
    """Random views of these sides, (B, C, s, s) in float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, channels)
    return [torch.rand(*shape, *(side,) * dims, generator=generator, dtype=torch.float64) for side in sizes]
