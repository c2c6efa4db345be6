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
    with pytest.raises(ValueError, match="fp32 or bf16, or auto chooses; received 'fp16'"):
        PrecisionInferer("fp16")


def test_auto_computes_in_what_the_processor_computes_and_is_one_choice_for_training_and_evaluation():
    inferer, network = PrecisionInferer("auto"), nn.Linear(64, 2)
    precision = inferer.precision_on(torch.device("cpu"))
    assert torch.equal(
        inferer(torch.ones(1, 64), network), PrecisionInferer(precision.name)(torch.ones(1, 64), network)
    )
    assert inferer.precision_on(torch.device("cpu")) is precision
