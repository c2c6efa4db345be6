"""The guard of all tests refuses what corrupts memory elsewhere, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

LAST = torch.channels_last


def train(layer: nn.Module, channels: int, *, image_grad: bool = True, order: torch.memory_format = LAST) -> None:
    image = torch.rand(2, channels, 8, 8).contiguous(memory_format=order).requires_grad_(image_grad)
    layer(image).sum().backward()


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 8, 1, stride=2), nn.Conv2d(4, 8, 3), nn.ConvTranspose2d(4, 4, 2)])
def test_a_narrow_layer_is_not_trained_channels_last(layer):
    with pytest.raises(AssertionError, match="of 4 channels is trained channels last on a CPU"):
        train(layer, 4)
    with pytest.raises(AssertionError, match="at least 8 channels, or the default memory format"):
        train(layer.to(memory_format=LAST), 4, order=torch.contiguous_format)


def test_neither_is_a_narrow_1_x_1_convolution_of_the_image():
    with pytest.raises(AssertionError, match="trained channels last"):
        train(nn.Conv2d(4, 8, 1, stride=2), 4, image_grad=False)


def test_the_rest_is_let_through():
    train(nn.Conv2d(4, 8, 1, stride=2), 4, order=torch.contiguous_format)
    train(nn.Conv2d(8, 8, 1, stride=2), 8)
    train(nn.Conv2d(3, 8, 7, stride=2), 3, image_grad=False)
    with torch.no_grad():
        nn.Conv2d(4, 8, 1, stride=2)(torch.rand(2, 4, 8, 8).contiguous(memory_format=LAST))
