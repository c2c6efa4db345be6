"""The inferer hands the list of views to the network and the network's answer to the loss."""

from __future__ import annotations

import torch
from torch import nn

from monai_ext.inferers import MultiViewInferer


class Sums(nn.Module):
    def forward(self, views):
        return [view.sum() for view in views], len(views)


def test_the_network_gets_the_list_and_its_tuple_comes_back():
    sums, count = MultiViewInferer()([torch.ones(2), torch.ones(3)], Sums())
    assert ([value.item() for value in sums], count) == ([2.0, 3.0], 2)


def test_the_generator_of_an_evaluator_is_not_needed():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    MultiViewInferer()([torch.ones(2)], Sums(), generator=generator)
    assert torch.equal(generator.get_state(), before)
