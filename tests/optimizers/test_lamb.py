"""LAMB: one step worked out by hand, and the properties of its update."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from monai_ext.optimizers import LAMB


def parameter(values: list[float], gradient: list[float]) -> nn.Parameter:
    param = nn.Parameter(torch.tensor(values, dtype=torch.float64))
    param.grad = torch.tensor(gradient, dtype=torch.float64)
    return param


def test_one_step_worked_out_by_hand():
    # The gradient (6, 8) has norm 10 and is clipped to norm 5: (3, 4). In the first step the corrected moments are the
    # gradient and its magnitude, hence their ratio is (1, 1). Decay 0.1 * (3, 4) makes the update (1.3, 1.4) with norm
    # sqrt(3.65); the weights' norm is 5.
    param = parameter([3.0, 4.0], [6.0, 8.0])
    LAMB([param], lr=0.1, betas=(0.9, 0.95), eps=0.0, weight_decay=0.1, max_grad_norm=5.0).step()
    ratio = 5 / math.sqrt(1.3**2 + 1.4**2)
    assert param.tolist() == pytest.approx([3 - 0.1 * ratio * 1.3, 4 - 0.1 * ratio * 1.4], rel=1e-14)


def test_the_second_step_worked_out_by_hand():
    # Gradients 1 then 3, never clipped. m = .9 * .1 + .1 * 3 = .39, corrected by 1 - .81 = .19;
    # v = .95 * .05 + .05 * 9 = .4975, corrected by 1 - .9025 = .0975.
    param = parameter([2.0], [1.0])
    optimizer = LAMB([param], lr=0.1, betas=(0.9, 0.95), eps=0.5, weight_decay=0.0, max_grad_norm=None)
    optimizer.step()
    first = 2 - 0.1 * 1 / (1 + 0.5)
    assert param.item() == pytest.approx(first, rel=1e-14)
    param.grad = torch.tensor([3.0], dtype=torch.float64)
    optimizer.step()
    update = (0.39 / 0.19) / (math.sqrt(0.4975 / 0.0975) + 0.5)
    assert param.item() == pytest.approx(first - 0.1 * update, rel=1e-14)


def test_groups_without_weight_decay_take_the_plain_adam_step():
    param = parameter([30.0, 40.0], [1.0, -1.0])
    LAMB([{"params": [param], "weight_decay": 0.0}], lr=0.1, eps=0.0).step()
    assert param.tolist() == pytest.approx([29.9, 40.1])


def test_weights_of_zero_take_a_step_with_trust_ratio_one():
    param = parameter([0.0, 0.0], [1.0, 1.0])
    LAMB([param], lr=0.1, eps=0.0, weight_decay=0.04).step()
    assert param.tolist() == pytest.approx([-0.1, -0.1])


def test_clipping_looks_at_the_norm_over_all_groups():
    first, second = parameter([1.0], [6.0]), parameter([1.0], [8.0])
    LAMB([{"params": [first]}, {"params": [second], "weight_decay": 0.0}], max_grad_norm=5.0).step()
    assert first.grad.item() == pytest.approx(3.0)
    assert second.grad.item() == pytest.approx(4.0)


def test_gradients_below_the_norm_are_left_alone():
    param = parameter([1.0], [4.5])
    LAMB([param], max_grad_norm=5.0).step()
    assert param.grad.item() == 4.5


def test_the_step_does_not_depend_on_the_scale_of_the_gradient():
    steps = []
    for scale in (1.0, 1e-3):
        param = parameter([1.0, 2.0], [3.0 * scale, -1.0 * scale])
        LAMB([param], eps=0.0, weight_decay=0.04).step()
        steps.append(param.tolist())
    assert steps[0] == pytest.approx(steps[1])


def test_a_reloaded_optimizer_goes_on_as_the_original():
    def gradients(step: int) -> torch.Tensor:
        return torch.randn(3, generator=torch.Generator().manual_seed(step))

    original, other = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    first = LAMB([original], lr=0.1)
    for step in range(3):
        original.grad = gradients(step)
        first.step()
    second = LAMB([other], lr=0.7)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    other.data.copy_(original.data)
    for step in range(3, 6):
        for param, optimizer in ((original, first), (other, second)):
            param.grad = gradients(step)
            optimizer.step()
    assert torch.equal(original, other)


def test_parameters_without_gradient_do_not_move():
    used, unused = parameter([1.0], [1.0]), nn.Parameter(torch.ones(1))
    LAMB([used, unused]).step()
    assert unused.item() == 1.0


def test_sparse_gradients_are_refused():
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse=False"):
        LAMB(embedding.parameters(), max_grad_norm=None).step()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"lr": -1.0}, "must not be negative"),
        ({"betas": (0.9, 1.0)}, r"decay rates in \[0, 1\)"),
        ({"max_grad_norm": 0.0}, "None to never clip"),
    ],
)
def test_options_out_of_range_are_refused(option, words):
    with pytest.raises(ValueError, match=words):
        LAMB([nn.Parameter(torch.ones(1))], **option)
