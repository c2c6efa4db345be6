"""What a ResNet computes on the way: the maps after its stem and its four stages, and what their units can see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from monai.networks.nets.resnet import ResNet, ResNetBottleneck
from torch import Tensor

from monai_ext.networks.encoder import resnet_stages

__all__ = ["STAGES", "ReceptiveField", "receptive_fields", "stage_maps"]

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


def stage_maps(encoder: ResNet, images: Tensor) -> dict[str, Tensor]:
    """Maps (B, C, *spatial) after the stem's activation, before its pooling, and after each stage, by name.

    As ``monai.networks.nets.resnet.ResNetFeatures`` gives them, of an encoder that is there already.

    Example:
        >>> import torch
        >>> from monai_ext.networks import build_encoder
        >>> maps = stage_maps(build_encoder("resnet18"), torch.zeros(1, 1, 64, 64))
        >>> [(name, *values.shape[1:3]) for name, values in maps.items()]
        [('stem', 64, 32), ('layer1', 64, 16), ('layer2', 128, 8), ('layer3', 256, 4), ('layer4', 512, 2)]
    """
    features = encoder.act(encoder.bn1(encoder.conv1(images)))
    maps = {STAGES[0]: features}
    features = features if encoder.no_max_pool else encoder.maxpool(features)
    for name, stage in zip(STAGES[1:], resnet_stages(encoder), strict=True):
        features = maps[name] = stage(features)
    return maps


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a map can see in theory.

    Attributes:
        side: pixels of the image that a unit is computed from, along one axis.
        stride: pixels between the places of neighbouring units.
        first: place of the first unit: the middle of what it sees, in pixels.
    """

    side: int = 1
    stride: int = 1
    first: float = 0.0

    def center(self, size: int) -> float:
        """Place of the unit in the middle of a map of images of this size, along one axis: unit ``count // 2``."""
        count = -(-size // self.stride)  # every stride of a ResNet halves, rounding up
        return self.first + self.stride * (count // 2)

    def after(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> ReceptiveField:
        """The field behind a further convolution or pooling."""
        reach = dilation * (kernel - 1)
        first = self.first + (reach / 2 - padding) * self.stride
        return ReceptiveField(self.side + reach * self.stride, self.stride * stride, first)


def receptive_fields(encoder: ResNet) -> dict[str, ReceptiveField]:
    """The theoretical receptive field after the stem and each stage, by name.

    Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks", section 2.1, along the residual
    branches, which see most. Images are often smaller: then a unit sees all of one.

    Example:
        >>> from monai_ext.networks import build_encoder
        >>> [field.side for field in receptive_fields(build_encoder("resnet18")).values()]
        [7, 43, 99, 211, 435]
    """
    field = _behind(ReceptiveField(), encoder.conv1)
    fields = {STAGES[0]: field}
    if not encoder.no_max_pool:
        field = _behind(field, encoder.maxpool)
    for name, stage in zip(STAGES[1:], resnet_stages(encoder), strict=True):
        for block in stage:
            for convolution in _convolutions(block):
                field = _behind(field, convolution)
        fields[name] = field
    return fields


def _convolutions(block: Any) -> Iterator[Any]:
    yield block.conv1
    yield block.conv2
    if isinstance(block, ResNetBottleneck):
        yield block.conv3


def _behind(field: ReceptiveField, module: Any) -> ReceptiveField:
    kernel, stride, padding, dilation = (
        value[0] if isinstance(value, tuple) else value
        for value in (module.kernel_size, module.stride, module.padding, module.dilation)
    )
    return field.after(int(kernel), int(stride), int(padding), int(dilation))
