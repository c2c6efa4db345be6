"""MoCo's loss: against a loop over queries and negatives, and worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from monai_ext.losses import InfoNCELoss


def unit_vectors(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, 3, dtype=torch.float64, generator=generator), dim=1)


def by_loop(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> float:
    """The papers' formula, one query after the other."""

    def similarity(first: Tensor, second: Tensor) -> float:
        return math.exp(sum(a * b for a, b in zip(first.tolist(), second.tolist(), strict=True)) / temperature)

    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        positive = similarity(query, key)
        total -= math.log(positive / (positive + sum(similarity(query, negative) for negative in negatives)))
    return total / len(queries)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_the_loss_equals_a_loop(temperature):
    vectors = unit_vectors(4, 0), unit_vectors(4, 1), unit_vectors(7, 2)
    assert InfoNCELoss(temperature=temperature)(*vectors).item() == pytest.approx(by_loop(*vectors, temperature))


def test_the_loss_of_equal_similarities_is_the_logarithm_of_their_number():
    vector = unit_vectors(1, 0)
    loss = InfoNCELoss()(vector.expand(2, 3), vector.expand(2, 3), vector.expand(9, 3))
    assert loss.item() == pytest.approx(math.log(10))


def test_the_order_of_negatives_does_not_matter_and_that_of_keys_does():
    loss, queries, keys, negatives = InfoNCELoss(), unit_vectors(4, 0), unit_vectors(4, 1), unit_vectors(7, 2)
    torch.testing.assert_close(loss(queries, keys, negatives.flip(0)), loss(queries, keys, negatives))
    assert not torch.isclose(loss(queries, keys.flip(0), negatives), loss(queries, keys, negatives))


def test_a_querys_own_negatives_are_left_out_of_its_sum():
    queries, keys, negatives = unit_vectors(2, 0), unit_vectors(2, 1), unit_vectors(3, 2)
    own = torch.tensor([[True, False, True], [False, False, False]])
    rows = [by_loop(queries[:1], keys[:1], negatives[1:2], 0.2), by_loop(queries[1:], keys[1:], negatives, 0.2)]
    assert InfoNCELoss()(queries, keys, negatives, own).item() == pytest.approx(sum(rows) / 2)
    nothing_left = InfoNCELoss()(queries.requires_grad_(), keys, negatives, torch.ones(2, 3, dtype=torch.bool))
    nothing_left.backward()
    assert nothing_left.item() == 0
    assert torch.equal(queries.grad, torch.zeros(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("own", [torch.zeros(2, 3), torch.zeros(3, 2, dtype=torch.bool)])
def test_a_mask_that_does_not_fit_is_refused(own):
    with pytest.raises(ValueError, match=r"boolean tensor \(B, K\), here \(2, 3\); received"):
        InfoNCELoss()(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3, 3), own)


def test_only_queries_get_a_gradient():
    vectors = [unit_vectors(count, count).requires_grad_() for count in (4, 4, 6)]
    InfoNCELoss()(*vectors).backward()
    assert [vector.grad is not None for vector in vectors] == [True, False, False]


def test_vectors_of_zeros_and_equal_vectors_give_finite_losses_and_gradients():
    for vectors in (torch.zeros(2, 3), torch.ones(2, 3)):
        queries = vectors.clone().requires_grad_()
        loss = InfoNCELoss(temperature=0.07)(queries, vectors, vectors)
        loss.backward()
        assert loss.item() == pytest.approx(math.log(3))
        assert queries.grad is not None
        assert queries.grad.isfinite().all()


def test_reduced_precision_is_compared_in_float32():
    queries, negatives = unit_vectors(4, 0).bfloat16(), unit_vectors(6, 1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = InfoNCELoss()(queries, queries, negatives)
    exact = InfoNCELoss()(queries.double(), queries.double(), negatives.double())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "shapes", [((4, 3), (5, 3), (7, 3)), ((4, 3), (4, 3), (7, 2)), ((4, 3), (4, 3), (1, 7, 3)), ((3,), (3,), (7, 3))]
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match=r"queries and keys \(B, D\) and negatives \(K, D\); received"):
        InfoNCELoss()(*map(torch.zeros, shapes))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="must be above 0; received"):
        InfoNCELoss(temperature=temperature)
