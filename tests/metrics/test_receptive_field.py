"""The effective receptive field of convolutions whose field is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from monai_ext.metrics.receptive_field import side_holding, squared_gradients


def stack_of_boxes(count: int) -> nn.Sequential:
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(count)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers).requires_grad_(False)


def amplitude(network: nn.Module, side: int = 41, channels: int = 1) -> np.ndarray:
    images = torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    squares = squared_gradients(lambda inputs: {"map": network(inputs)}, images)["map"]
    return squares.mean(dim=0).sqrt().numpy()


def test_of_a_single_convolution_it_is_the_kernel() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False).requires_grad_(False)
    found = amplitude(layer, side=9)
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = layer.weight[0, 0].abs().numpy()
    assert found == pytest.approx(expected, abs=1e-6)
    assert side_holding(found, (4, 4), 1.0) == pytest.approx(3)


def test_of_uniform_stacks_it_is_the_power_of_a_box_with_the_deviation_that_theory_gives() -> None:
    """Luo et al. 2016, section 2.2: uniform kernels give a binomial, whose variance is layers times (k^2 - 1) / 12."""
    found = amplitude(stack_of_boxes(9))
    profile = np.array([1.0])
    for _ in range(9):
        profile = np.convolve(profile, np.ones(3))
    expected = np.zeros((41, 41))
    expected[11:30, 11:30] = np.outer(profile, profile)
    assert found / found.sum() == pytest.approx(expected / expected.sum(), abs=1e-7)
    share = found.sum(axis=0) / found.sum()
    assert float((share * (np.arange(41) - 20) ** 2).sum()) == pytest.approx(9 * 8 / 12)


def test_the_effective_field_grows_as_the_root_of_the_layers_and_the_theoretical_as_the_layers() -> None:
    sides = [side_holding(amplitude(stack_of_boxes(count)), (20, 20), 0.5) for count in (4, 16)]
    assert sides[1] / sides[0] == pytest.approx(2, abs=0.12)


def test_channels_cannot_cancel() -> None:
    """Two channels of opposite kernels: their sum sees nothing, each of them sees 3 x 3 pixels."""
    layer = nn.Conv2d(1, 2, 3, padding=1, bias=False).requires_grad_(False)
    layer.weight[1] = -layer.weight[0]
    images = torch.zeros(400, 1, 9, 9)
    squares = squared_gradients(
        lambda inputs: {"map": layer(inputs)}, images, generator=torch.Generator().manual_seed(0)
    )
    expected = 2 * layer.weight[0, 0].double() ** 2
    assert squares["map"].mean(dim=0)[3:6, 3:6].numpy() == pytest.approx(expected.numpy(), rel=0.25)


def test_what_depends_on_nothing_has_no_size() -> None:
    assert np.isnan(side_holding(np.zeros((5, 5)), (2, 2), 0.5))


def test_a_square_may_reach_beyond_the_image() -> None:
    only_corner = np.zeros((5, 5))
    only_corner[0, 0] = 1
    assert side_holding(only_corner, (4, 4), 1.0) == 9
