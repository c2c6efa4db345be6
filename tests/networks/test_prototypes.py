"""Prototypes: cosines worked out by hand, unit length, and no bias."""

from __future__ import annotations

import pytest
import torch

from monai_ext.networks import Prototypes


def prototypes(*rows: list[float]) -> Prototypes:
    module = Prototypes(len(rows), features=len(rows[0])).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(rows))
    return module


def test_scores_are_cosines_with_unit_vectors():
    module = prototypes([3.0, 4.0], [0.0, 2.0])
    module.normalize()
    scores = module(torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64))
    torch.testing.assert_close(scores, torch.tensor([[0.6, 0.0], [1.0, 0.8]], dtype=torch.float64))


def test_evaluation_scores_with_normalised_rows_and_leaves_the_weight():
    module = prototypes([3.0, 4.0], [0.0, 2.0]).eval()
    scores = module(torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(scores, torch.tensor([[0.6, 0.0]], dtype=torch.float64))
    assert module.weight.tolist() == [[3.0, 4.0], [0.0, 2.0]]


def test_normalising_keeps_the_parameter_that_the_optimiser_holds():
    module = prototypes([3.0, 4.0], [0.0, 2.0])
    weight = module.weight
    module.normalize()
    assert module.weight is weight
    assert weight.requires_grad
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(2, dtype=torch.float64))


def test_there_is_no_bias_and_new_prototypes_have_unit_length():
    module = Prototypes(5, features=3)
    assert list(module.state_dict()) == ["weight"]
    assert module.count == 5
    torch.testing.assert_close(module.weight.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize(("count", "features"), [(1, 3), (3, 0)])
def test_too_few_are_refused(count, features):
    with pytest.raises(ValueError, match="count of at least 2 and features of at least 1; received"):
        Prototypes(count, features=features)
