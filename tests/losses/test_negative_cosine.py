"""The loss of BYOL and SimSiam: worked out by hand, its two directions, and what has no gradient."""

from __future__ import annotations

import pytest
import torch

from monai_ext.losses import NegativeCosineSimilarity


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_loss_of_one_direction_is_worked_out_by_hand():
    # cosines 1, 0, -1, 0.6: losses 0, 2, 4, 0.8
    predictions = rows([2.0, 0.0], [1.0, 0.0], [1.0, 1.0], [3.0, 4.0])
    targets = rows([5.0, 0.0], [0.0, 3.0], [-2.0, -2.0], [7.0, 0.0])
    assert NegativeCosineSimilarity()(predictions, targets).item() == pytest.approx(6.8 / 4)


def test_the_form_of_cosines_is_worked_out_by_hand():
    # cosines 1 and 0.6 from the first view, 0 and -1 from the second: -(1.6 / 2 - 1 / 2) / 2
    predictions = torch.stack([rows([2.0, 0.0], [3.0, 4.0]), rows([1.0, 0.0], [1.0, 1.0])])
    targets = torch.stack([rows([5.0, 0.0], [7.0, 0.0]), rows([0.0, 3.0], [-2.0, -2.0])])
    assert NegativeCosineSimilarity(form="cosine")(predictions, targets).item() == pytest.approx(-0.15)
    assert NegativeCosineSimilarity(form="cosine")(predictions[0], targets[0]).item() == pytest.approx(-0.8)


def test_the_form_of_distances_is_four_and_four_times_that_of_cosines_for_two_directions():
    predictions, targets = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 3, dtype=torch.float64)
    distance, cosine = (NegativeCosineSimilarity(form=form)(predictions, targets) for form in ("distance", "cosine"))
    torch.testing.assert_close(distance, 4 + 4 * cosine)


def test_the_symmetric_loss_is_the_sum_of_both_directions():
    predictions, targets = torch.rand(2, 5, 3, dtype=torch.float64), torch.rand(2, 5, 3, dtype=torch.float64)
    loss = NegativeCosineSimilarity()
    expected = loss(predictions[0], targets[0]) + loss(predictions[1], targets[1])
    torch.testing.assert_close(loss(predictions, targets), expected)


def test_the_loss_is_the_squared_distance_of_unit_vectors_whatever_their_length():
    predictions, targets = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    units = [vectors / vectors.norm(dim=1, keepdim=True) for vectors in (predictions, targets)]
    expected = (units[0] - units[1]).square().sum(dim=1).mean()
    torch.testing.assert_close(NegativeCosineSimilarity()(7 * predictions, 0.1 * targets), expected)


def test_only_predictions_get_a_gradient():
    predictions, targets = torch.rand(2, 3, 4, requires_grad=True), torch.rand(2, 3, 4, requires_grad=True)
    NegativeCosineSimilarity()(predictions, targets).backward()
    assert predictions.grad is not None
    assert targets.grad is None


def test_vectors_of_zeros_give_two_and_a_finite_gradient():
    predictions = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    loss = NegativeCosineSimilarity()(predictions, torch.zeros(3, 4, dtype=torch.float64))
    loss.backward()
    assert loss.item() == 2.0
    assert predictions.grad is not None
    assert predictions.grad.isfinite().all()


def test_reduced_precision_is_compared_in_float32():
    predictions = torch.rand(3, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = NegativeCosineSimilarity()(predictions, predictions)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((2,), (2,)), ((1, 2, 3, 4), (1, 2, 3, 4)), ((2, 3), (2, 2, 3))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match=r"must both be \(B, D\) or \(V, B, D\); received"):
        NegativeCosineSimilarity()(*map(torch.zeros, shapes))


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="'distance', as BYOL's, or 'cosine', as SimSiam's; received 'l2'"):
        NegativeCosineSimilarity(form="l2")


def test_eps_of_zero_is_refused():
    with pytest.raises(ValueError, match="above 0; received 0"):
        NegativeCosineSimilarity(eps=0.0)
