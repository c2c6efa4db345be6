"""Build the ResNet encoders of the study, and ask an encoder for its widths and stride."""

from __future__ import annotations

from math import prod
from typing import cast

import torch
from monai.networks import nets
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import nn

__all__ = ["ENCODER_NAMES", "build_encoder", "encoder_stride", "encoder_widths", "feature_width", "resnet_stages"]

ENCODER_NAMES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def build_encoder(
    name: str = "resnet50", *, spatial_dims: int = 2, in_channels: int = 1, zero_init_last_norm: bool = True
) -> ResNet:
    """Build a MONAI ResNet without head, in torchvision's layout (total stride 32).

    In 2D its ``state_dict`` has torchvision's keys (without ``fc``) in the same order, so weights are exchanged with
    torchvision and timm without loss.

    Args:
        name: one of resnet18, resnet34, resnet50, resnet101, resnet152.
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        zero_init_last_norm: start every residual branch at zero (Goyal et al., 2017, section 5.1), which MONAI does
            not do and the encoders of the SparK paper do.

    Raises:
        ValueError: When ``name`` is none of the above.

    Example:
        >>> encoder_widths(build_encoder("resnet18"))
        [64, 128, 256, 512]
    """
    if name not in ENCODER_NAMES:
        raise ValueError(f"An encoder named {name!r} was asked for; accepted: {', '.join(ENCODER_NAMES)}.")
    encoder: ResNet = getattr(nets, name)(
        spatial_dims=spatial_dims,
        n_input_channels=in_channels,
        conv1_t_stride=2,
        shortcut_type="B",
        bias_downsample=False,
        feed_forward=False,
    )
    if zero_init_last_norm:
        for block in (block for stage in resnet_stages(encoder) for block in stage):
            nn.init.zeros_(_last_norm(block).weight)
    return encoder


def encoder_stride(encoder: ResNet) -> int:
    """Give the total stride: the number of image pixels along one axis of a pixel of the deepest map."""
    strides = [encoder.conv1.stride[0], 1 if encoder.no_max_pool else 2]
    strides += [_block_stride(stage[0]) for stage in resnet_stages(encoder)]
    return prod(strides)


def encoder_widths(encoder: ResNet) -> list[int]:
    """Give the number of channels after each of the four stages, highest resolution first."""
    return [_last_norm(stage[-1]).num_features for stage in resnet_stages(encoder)]


def feature_width(name: str = "resnet50") -> int:
    """Give the length of the feature vector of the encoder that :func:`build_encoder` builds under this name.

    Example:
        >>> feature_width("resnet18"), feature_width("resnet50")
        (512, 2048)
    """
    with torch.device("meta"):
        return encoder_widths(build_encoder(name))[-1]


def resnet_stages(encoder: nn.Module) -> list[nn.Sequential]:
    """Give the residual stages of a MONAI ResNet, highest resolution first.

    Raises:
        TypeError: When ``encoder`` is not a MONAI ResNet, or has a part without a sparse counterpart (named).
    """
    if not isinstance(encoder, ResNet):
        raise TypeError(
            f"Sparse execution was asked for an encoder of type {type(encoder).__name__}. Accepted are the ResNets of "
            "monai.networks.nets (resnet18 ... resnet152, ResNet); see monai_ext.networks.build_encoder."
        )
    stages = [cast(nn.Sequential, getattr(encoder, f"layer{i}")) for i in (1, 2, 3, 4)]
    for stage in stages:
        for block in stage:
            _check_block(block)
    return stages


def _check_block(block: nn.Module) -> None:
    if not isinstance(block, ResNetBlock | ResNetBottleneck):
        raise TypeError(f"The residual block {type(block).__name__} has no sparse counterpart.")
    if block.downsample is not None and not isinstance(block.downsample, nn.Sequential):
        raise TypeError(
            'The parameter-free shortcut of shortcut_type="A" has no sparse counterpart. Build the encoder with '
            'shortcut_type="B" (the default of monai.networks.nets.resnet18).'
        )


def _last_norm(block: nn.Module) -> nn.BatchNorm2d:
    return block.bn3 if isinstance(block, ResNetBottleneck) else block.bn2  # type: ignore[return-value]


def _block_stride(block: nn.Module) -> int:
    convolution = block.conv1 if isinstance(block, ResNetBlock) else block.conv2
    return convolution.stride[0]  # type: ignore[index,return-value]
