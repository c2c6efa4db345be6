"""Alignment and uniformity on the sphere."""

from __future__ import annotations

import math

import pytest
import torch

from monai_ext.metrics import alignment, uniformity


def test_alignment_is_the_mean_squared_distance_of_pairs() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    second = torch.tensor([[5.0, 0.0], [3.0, 0.0], [-1.0, 0.0]])
    assert alignment(first, second) == pytest.approx((0 + 2 + 4) / 3)
    assert alignment(first, second, power=1) == pytest.approx((0 + 2**0.5 + 2) / 3)


def test_alignment_with_power_two_is_two_minus_twice_the_cosine() -> None:
    first, second = torch.randn(2, 9, 5, dtype=torch.float64)
    expected = 2 - 2 * torch.cosine_similarity(first, second).mean()
    assert alignment(first, second) == pytest.approx(float(expected))


def test_uniformity_equals_a_loop_over_the_pairs() -> None:
    points = torch.nn.functional.normalize(torch.randn(7, 3, dtype=torch.float64), dim=1)
    potentials = [
        math.exp(-2 * float((points[i] - points[j]).square().sum())) for i in range(7) for j in range(7) if i < j
    ]
    assert uniformity(points * 3) == pytest.approx(math.log(sum(potentials) / len(potentials)))


def test_collapsed_embeddings_are_aligned_and_not_uniform() -> None:
    same = torch.ones(5, 4)
    assert alignment(same, 2 * same) == pytest.approx(0, abs=1e-9)
    assert uniformity(same) == pytest.approx(0, abs=1e-9)


def test_many_directions_spread_evenly_are_near_minus_four() -> None:
    points = torch.randn(500, 512, generator=torch.Generator().manual_seed(0))
    assert uniformity(points) == pytest.approx(-4, abs=0.05)


def test_views_of_different_numbers_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two views of the same images .* \(3, 2\) and \(4, 2\)"):
        alignment(torch.zeros(3, 2), torch.zeros(4, 2))


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="scale above 0"):
        uniformity(torch.eye(2), scale=0)
