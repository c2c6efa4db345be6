"""What a sparse backend has to offer, and the walk through a ResNet that all backends share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, cast

import torch
from monai.networks.nets.resnet import ResNet, ResNetBottleneck
from torch import Tensor, nn

from monai_ext.networks.encoder import resnet_stages

__all__ = ["SparseFeatures", "sparse_resnet_features"]

Features = TypeVar("Features", bound="SparseFeatures")


class SparseFeatures(Protocol):
    """A feature map that exists at the visible patches only.

    A backend is one class with these methods. Each takes the ordinary dense module of the encoder, uses its
    parameters, and returns new features whose values at masked positions are zero or not stored at all. Where the
    visible patches are travels with the features, so that one encoder can serve several masks at the same time.
    """

    @classmethod
    def from_image(cls: type[Features], image: Tensor, visible: Tensor) -> Features:
        """Keep the visible patches of ``image`` ``(B, C, *spatial)``; ``visible`` is boolean ``(B, 1, *grid)``."""

    def convolve(self: Features, module: nn.Module) -> Features:
        """Apply a convolution; its output exists where the input does (at the output's resolution)."""

    def normalize(self: Features, module: nn.Module) -> Features:
        """Apply a batch normalisation whose statistics come from visible positions only."""

    def activate(self: Features, module: nn.Module) -> Features:
        """Apply an element-wise activation that maps 0 to 0."""

    def pool(self: Features, module: nn.Module) -> Features:
        """Apply a max pooling; masked neighbours count as zero, the outside of the image does not count."""

    def add(self: Features, other: Features) -> Features:
        """Add features of the same layout; may reuse the memory of ``self``."""

    def scale_samples(self: Features, factors: Tensor) -> Features:
        """Multiply every sample by its factor; ``factors`` is ``(B,)`` (stochastic depth)."""

    def to_dense(self, fill: Tensor | None = None) -> Tensor:
        """Give the dense map ``(B, C, *spatial)`` with ``fill`` ``(1, C, 1, ...)`` (or zero) at masked positions."""


def sparse_resnet_features(
    encoder: ResNet, features: Features, *, drop_path_rates: Sequence[float] | None = None
) -> list[Features]:
    """Run the stem and the four stages of a ResNet on sparse features.

    Args:
        encoder: the ordinary dense network; only its parameters and statistics are used.
        features: the visible part of the image.
        drop_path_rates: probability of dropping the residual branch (Huang et al., 2016), one a residual block;
            used in training mode only.

    Returns:
        The feature maps after stages 1 to 4 (strides 4, 8, 16, 32 for ``conv1_t_stride=2``).
    """
    stages = resnet_stages(encoder)
    rates = iter(drop_path_rates if drop_path_rates is not None else [0.0] * sum(len(stage) for stage in stages))
    features = features.convolve(encoder.conv1).normalize(encoder.bn1).activate(encoder.act)
    if not encoder.no_max_pool:
        features = features.pool(encoder.maxpool)
    maps = []
    for stage in stages:
        for block in stage:
            features = _residual_block(block, features, next(rates) if encoder.training else 0.0)
        maps.append(features)
    return maps


def _residual_block(block: nn.Module, features: Features, drop_path_rate: float) -> Features:
    shortcut = features
    if block.downsample is not None:
        convolution, norm = cast(nn.Sequential, block.downsample)
        shortcut = features.convolve(convolution).normalize(norm)
    branch = features
    for convolution, norm in _convolutions(block)[:-1]:
        branch = branch.convolve(convolution).normalize(norm).activate(cast(nn.Module, block.act))
    convolution, norm = _convolutions(block)[-1]
    branch = branch.convolve(convolution).normalize(norm)
    if drop_path_rate > 0.0:
        branch = branch.scale_samples(_drop_path_factors(branch, drop_path_rate))
    return branch.add(shortcut).activate(cast(nn.Module, block.act))


def _convolutions(block: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    count = 3 if isinstance(block, ResNetBottleneck) else 2
    return [(getattr(block, f"conv{i}"), getattr(block, f"bn{i}")) for i in range(1, count + 1)]


def _drop_path_factors(features: SparseFeatures, rate: float) -> Tensor:
    visible = features.visible  # type: ignore[attr-defined]
    kept = torch.rand(visible.shape[0]) >= rate  # drawn on the CPU: the same stream on every kind of device
    return (kept.to(torch.float32) / (1.0 - rate)).to(visible.device)
