"""The library's LARS, held to the formula of You et al. 2017 as SwAV needs it, over steps with a changing rate."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from pytorch_optimizer import LARS
from torch import Tensor, nn

from monai_ext.optimizers import parameter_groups

SHAPES = [(3, 2), (4,), (2, 2, 2)]
DECAYS = [0.3, 0.0, 0.05]
RATES = [0.1, 0.4, 0.4, 0.05, 0.0, 0.2]


def parameters(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator)) for shape in SHAPES]


def groups(params: list[nn.Parameter]) -> list[dict]:
    return [{"params": [param], "weight_decay": decay} for param, decay in zip(params, DECAYS, strict=True)]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in SHAPES]


def take_steps(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        for param, gradient in zip(params, gradients(step), strict=True):
            param.grad = gradient.clone()
        optimizer.step()


def norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def by_hand(
    weight: list[float], velocity: list[float], gradient: list[float], *, lr: float, decay: float, momentum: float
) -> tuple[list[float], list[float]]:
    """One step of one tensor, trust coefficient 0.02; vectors, which do not decay, take the plain step."""
    ratio = 0.02 * norm(weight) / (norm(gradient) + decay * norm(weight)) if decay > 0 else 1.0
    velocity = [momentum * v + ratio * (g + decay * p) for v, g, p in zip(velocity, gradient, weight, strict=True)]
    return [p - lr * v for p, v in zip(weight, velocity, strict=True)], velocity


def test_steps_equal_the_formula_with_a_learning_rate_that_changes_and_groups_of_their_own_decay():
    params = parameters()
    weights = [param.detach().flatten().tolist() for param in params]
    velocities = [[0.0] * len(weight) for weight in weights]
    take_steps(LARS(groups(params), lr=0.1, momentum=0.8, trust_coefficient=0.02), params, range(6))
    for step in range(6):
        for index, gradient in enumerate(gradients(step)):
            weights[index], velocities[index] = by_hand(
                weights[index],
                velocities[index],
                gradient.flatten().tolist(),
                lr=RATES[step],
                decay=DECAYS[index],
                momentum=0.8,
            )
    for param, weight in zip(params, weights, strict=True):
        expected = torch.tensor(weight, dtype=torch.float64).reshape(param.shape)
        torch.testing.assert_close(param.detach(), expected, rtol=1e-12, atol=1e-14)


def test_norms_and_biases_of_a_network_take_plain_steps_without_decay():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = LARS(parameter_groups(network, weight_decay=0.5), lr=1.0, momentum=0.0)
    before = network[0].bias.detach().clone()
    for param in network.parameters():
        param.grad = torch.full_like(param, 0.25)
    optimizer.step()
    torch.testing.assert_close(network[0].bias.data, before - 0.25)
    assert network[1].weight.tolist() == [0.75, 0.75]


def test_a_parameter_without_a_gradient_stays_and_has_no_velocity():
    params = parameters()
    before = params[0].detach().clone()
    optimizer = LARS(groups(params), lr=0.1)
    params[2].grad = torch.ones_like(params[2])
    optimizer.step()
    assert torch.equal(params[0].detach(), before)
    assert set(optimizer.state) == {params[2]}


def test_zeros_give_no_nan():
    params = [nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))]
    optimizer = LARS(params, lr=0.1, weight_decay=1e-6)
    for param in params:
        param.grad = torch.zeros_like(param)
    optimizer.step()
    assert all(bool(param.isfinite().all()) for param in params)


def test_a_saved_optimiser_goes_on_in_the_same_way():
    params, others = parameters(), parameters(seed=1)
    first, second = LARS(groups(params), lr=0.1), LARS(groups(others), lr=0.9)
    take_steps(first, params, range(3))
    with torch.no_grad():
        for other, param in zip(others, params, strict=True):
            other.copy_(param)
    second.load_state_dict(deepcopy(first.state_dict()))
    take_steps(first, params, range(3, 6))
    take_steps(second, others, range(3, 6))
    assert all(torch.equal(*pair) for pair in zip(params, others, strict=True))
