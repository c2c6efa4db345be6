"""Which parameters decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_ext.optimizers import parameter_groups


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.mask_tokens = nn.ParameterList(
            [nn.Parameter(torch.zeros(1, 2, 1, 1)), nn.Parameter(torch.zeros(1, 2, 1, 1))]
        )
        self.mask_token = nn.Parameter(torch.zeros(1, 2, 1, 1))
        self.mask_token_projection = nn.Linear(2, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.shared = self.convolution


def names(network: nn.Module, group: dict) -> set[str]:
    return {name for name, param in network.named_parameters() if any(param is other for other in group["params"])}


def test_kernels_decay_and_biases_norms_and_mask_tokens_do_not():
    network = Network()
    decayed, exempt = parameter_groups(network, weight_decay=0.04)
    assert decayed["weight_decay"] == 0.04
    assert exempt["weight_decay"] == 0.0
    assert names(network, decayed) == {"convolution.weight", "mask_token_projection.weight"}
    assert names(network, exempt) == {
        *("convolution.bias", "norm.weight", "norm.bias", "mask_token_projection.bias"),
        *("mask_token", "mask_tokens.0", "mask_tokens.1"),
    }


def test_every_trainable_parameter_is_in_exactly_one_group():
    network = Network()
    grouped = [id(param) for group in parameter_groups(network, weight_decay=0.04) for param in group["params"]]
    assert sorted(grouped) == sorted(id(param) for param in network.parameters() if param.requires_grad)


def test_spark_lists_its_mask_tokens_among_the_exempt():
    from monai_ext.networks import SparK, SparKDecoder, build_encoder

    network = SparK(build_encoder("resnet18"), SparKDecoder(32))
    decayed, exempt = parameter_groups(network, weight_decay=0.04)
    assert {name for name in names(network, exempt) if "mask" in name} == {f"mask_tokens.{level}" for level in range(4)}
    assert all(name.endswith("weight") for name in names(network, decayed))
    assert len(decayed["params"]) + len(exempt["params"]) == len(list(network.parameters()))


def test_a_part_that_keeps_its_rate_has_groups_of_its_own_that_say_so():
    network = Network()
    groups = parameter_groups(network, weight_decay=0.04, constant_rate=["mask_token_projection"])
    assert [group.get("constant_rate", False) for group in groups] == [False, False, True, True]
    assert [group["weight_decay"] for group in groups] == [0.04, 0.0, 0.04, 0.0]
    assert [names(network, group) for group in groups[2:]] == [
        {"mask_token_projection.weight"},
        {"mask_token_projection.bias"},
    ]
    grouped = [id(param) for group in groups for param in group["params"]]
    assert sorted(grouped) == sorted(id(param) for param in network.parameters() if param.requires_grad)


@pytest.mark.parametrize("name", ["predictoin", "frozen", "mask_token"])
def test_a_part_that_is_not_there_or_frozen_cannot_keep_its_rate(name):
    with pytest.raises(ValueError, match=f"no trainable parameters in a module '{name}'.*it has convolution, mask_tok"):
        parameter_groups(Network(), weight_decay=0.04, constant_rate=[name])


def test_a_network_without_anything_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing can be trained"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), weight_decay=0.04)


def test_a_negative_weight_decay_is_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        parameter_groups(nn.Linear(2, 2), weight_decay=-0.1)
