"""Sinkhorn's assignments against a dense iterative reference, their marginals, and scores at the extremes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monai_ext.networks import sinkhorn_assignments


def reference(scores: list[list[float]], *, epsilon: float, iterations: int) -> list[list[float]]:
    """The paper's algorithm on lists: columns to 1/K, rows to 1/B, in turns; B times the result."""
    samples, count = len(scores), len(scores[0])
    largest = max(max(row) for row in scores)
    plan = [[math.exp((score - largest) / epsilon) for score in row] for row in scores]
    for _ in range(iterations):
        columns = [sum(row[k] for row in plan) for k in range(count)]
        plan = [[row[k] / columns[k] / count for k in range(count)] for row in plan]
        plan = [[value / sum(row) / samples for value in row] for row in plan]
    return [[value * samples for value in row] for row in plan]


def random_scores(samples: int, count: int, seed: int = 0) -> Tensor:
    """Cosines."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(samples, count, dtype=torch.float64, generator=generator) * 2 - 1


def test_one_turn_is_worked_out_by_hand():
    scores = torch.tensor([[1.0, 3.0], [1.0, 1.0]], dtype=torch.float64).log()
    # columns: (1/2, 3/4), (1/2, 1/4); rows: (2/5, 3/5), (2/3, 1/3)
    expected = torch.tensor([[2 / 5, 3 / 5], [2 / 3, 1 / 3]], dtype=torch.float64)
    torch.testing.assert_close(sinkhorn_assignments(scores, epsilon=1.0, iterations=1), expected)


@settings(max_examples=30, deadline=None)
@given(
    samples=st.integers(1, 9),
    count=st.integers(1, 6),
    iterations=st.integers(1, 5),
    epsilon=st.sampled_from([0.05, 0.2, 1.0]),
    seed=st.integers(0, 99),
)
def test_assignments_are_those_of_the_dense_reference(samples, count, iterations, epsilon, seed):
    scores = random_scores(samples, count, seed)
    expected = reference(scores.tolist(), epsilon=epsilon, iterations=iterations)
    assignments = sinkhorn_assignments(scores, epsilon=epsilon, iterations=iterations)
    torch.testing.assert_close(assignments, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_after_many_turns_prototypes_and_samples_have_equal_shares():
    assignments = sinkhorn_assignments(random_scores(12, 4), epsilon=0.2, iterations=500)
    torch.testing.assert_close(assignments.sum(dim=0), torch.full((4,), 3.0, dtype=torch.float64))
    torch.testing.assert_close(assignments.sum(dim=1), torch.ones(12, dtype=torch.float64))


def test_equal_scores_give_equal_assignments():
    torch.testing.assert_close(sinkhorn_assignments(torch.full((3, 5), 0.7)), torch.full((3, 5), 0.2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("largest", [1.0, 1e2, 6e4])
def test_extreme_scores_give_finite_rows_of_sum_one(largest, dtype):
    scores = torch.tensor([[1.0, -1.0, 0.0], [-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]) * largest
    assignments = sinkhorn_assignments(scores.to(dtype))
    assert assignments.dtype == torch.float32
    assert (assignments >= 0).all()
    torch.testing.assert_close(assignments.sum(dim=1), torch.ones(4))


def test_a_constant_added_to_all_scores_of_a_prototype_changes_nothing():
    scores, shift = random_scores(6, 3), torch.tensor([5.0, -2.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(sinkhorn_assignments(scores + shift), sinkhorn_assignments(scores))


def test_scores_are_left_as_they_were_and_get_no_gradient():
    scores = random_scores(4, 3).requires_grad_()
    before = scores.detach().clone()
    assert not sinkhorn_assignments(scores).requires_grad
    assert torch.equal(scores, before)


@pytest.mark.parametrize("options", [{"epsilon": 0.0}, {"iterations": 0}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="epsilon above 0 and at least 1 iteration; received"):
        sinkhorn_assignments(torch.zeros(2, 2), **options)


def test_scores_that_are_no_matrix_are_refused():
    with pytest.raises(ValueError, match=r"scores \(B, K\).*received \(2, 2, 2\)"):
        sinkhorn_assignments(torch.zeros(2, 2, 2))
