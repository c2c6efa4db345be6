"""Batch-norm statistics for a network that has not been trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from helpers.small_training import same_weights
from monai_ext.networks.batch_statistics import temporary_batch_statistics


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))


def test_batches_together_give_mean_and_variance_of_what_the_first_normalisation_sees() -> None:
    network = _network()
    images = 4 + 3 * torch.rand(6, 1, 8, 8)
    network(images)
    values = network[0](images).transpose(0, 1).flatten(1)
    batches = images.split([4, 2])
    norm = network[1]
    norm.reset_running_stats()
    with temporary_batch_statistics(network, network, batches[:1]):
        first = network[0](batches[0]).transpose(0, 1).flatten(1)
        assert torch.allclose(norm.running_mean, first.mean(1), atol=1e-5)
        assert torch.allclose(norm.running_var, first.var(1, correction=0), atol=1e-5)
    with temporary_batch_statistics(network, network, batches):
        assert torch.allclose(norm.running_mean, values.mean(1), atol=1e-5)


def test_afterwards_everything_is_as_it_was_even_after_an_error() -> None:
    network = _network().train()
    network(torch.rand(2, 1, 8, 8))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()

    def use() -> None:
        with temporary_batch_statistics(network, network, [torch.rand(2, 1, 8, 8, generator=torch.Generator())]):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        use()
    assert same_weights(before, network.state_dict())
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert not network[1]._forward_pre_hooks
