"""Shorter floating-point formats on any device."""

import pytest
import torch
from torch import nn

from monai_ext.inferers import PrecisionInferer


def test_bf16_rounds_the_products_and_gives_single_precision():
    torch.manual_seed(0)
    network, images = nn.Linear(64, 2), torch.rand(4, 64)
    exact, rounded = PrecisionInferer()(images, network), PrecisionInferer("bf16")(images, network)
    assert rounded.dtype == exact.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.02)


def test_parameters_stay_in_single_precision_and_get_gradients():
    network = nn.Linear(8, 2)
    PrecisionInferer("bf16")(torch.rand(4, 8), network).sum().backward()
    assert network.weight.dtype == network.weight.grad.dtype == torch.float32


def test_fp16_which_needs_scaling_is_refused():
    with pytest.raises(ValueError, match="fp32 or bf16; received 'fp16'"):
        PrecisionInferer("fp16")
