"""SwAV's loss: against a loop over pairs of views, and which view predicts which."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from monai_ext.losses import SwappedAssignmentLoss


def random_rows(count: int, seed: int) -> list[Tensor]:
    """Matrices (3, 4), rows of sum one."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, 4, dtype=torch.float64, generator=generator).softmax(dim=1) for _ in range(count)]


def by_loop(scores: list[Tensor], assignments: list[Tensor], temperature: float) -> float:
    """Equations 1, 2 and 6 of the paper, one number after the other."""
    terms = []
    for view, assignment in enumerate(assignments):
        for other, score in enumerate(scores):
            if other == view:
                continue
            for targets, row in zip(assignment.tolist(), score.tolist(), strict=True):
                total = sum(math.exp(value / temperature) for value in row)
                logs = [math.log(math.exp(value / temperature) / total) for value in row]
                terms.append(-sum(target * log for target, log in zip(targets, logs, strict=True)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("views", "global_views"), [(2, 1), (2, 2), (5, 2), (4, 4)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_loss_equals_a_loop(views, global_views, temperature):
    scores, assignments = random_rows(views, 0), random_rows(global_views, 1)
    loss = SwappedAssignmentLoss(temperature=temperature)(scores, assignments)
    assert loss.item() == pytest.approx(by_loop(scores, assignments, temperature))


def test_a_view_is_not_predicted_from_itself():
    sure, unsure = torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    # the first assignment meets the unsure scores (log 2), the second the sure ones, which say the first prototype (50)
    loss = SwappedAssignmentLoss(temperature=1.0)([sure, unsure], [first, second])
    assert loss.item() == pytest.approx((math.log(2) + 50) / 2)
    loss = SwappedAssignmentLoss(temperature=1.0)([unsure, sure], [first, first])
    assert loss.item() == pytest.approx(math.log(2) / 2)


def test_only_scores_get_a_gradient():
    scores = [score.requires_grad_() for score in random_rows(3, 0)]
    assignments = [assignment.requires_grad_() for assignment in random_rows(2, 1)]
    SwappedAssignmentLoss()(scores, assignments).backward()
    assert all(score.grad is not None for score in scores)
    assert all(assignment.grad is None for assignment in assignments)


def test_equal_and_extreme_scores_give_finite_losses_and_gradients():
    for value in (0.0, 1e4):
        scores = [torch.tensor([[value, -value, 0.0]], requires_grad=True) for _ in range(2)]
        loss = SwappedAssignmentLoss()(scores, [torch.full((1, 3), 1 / 3)])
        loss.backward()
        assert loss.isfinite()
        assert scores[1].grad is not None
        assert scores[1].grad.isfinite().all()


def test_reduced_precision_is_compared_in_float32():
    scores, assignments = [score.bfloat16() for score in random_rows(3, 0)], random_rows(2, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SwappedAssignmentLoss()(scores, assignments)
    assert loss.dtype == torch.float32
    exact = SwappedAssignmentLoss()([score.double() for score in scores], assignments)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("views", "global_views"), [(1, 1), (2, 0), (2, 3)])
def test_too_few_views_and_too_many_assignments_are_refused(views, global_views):
    with pytest.raises(ValueError, match=f"received {views} scores and {global_views} assignments"):
        SwappedAssignmentLoss()(random_rows(views, 0), random_rows(global_views, 1))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"all \(B, K\); received .*\(3, 2\), \(3, 4\)"):
        SwappedAssignmentLoss()(random_rows(2, 0), [torch.zeros(3, 2)])


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="must be above 0; received"):
        SwappedAssignmentLoss(temperature=temperature)
