"""Number of dimensions in use."""

from __future__ import annotations

import math

import pytest
import torch

from monai_ext.metrics import effective_rank


def test_singular_values_of_two_and_one_give_the_exponential_of_their_entropy() -> None:
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert effective_rank(features) == pytest.approx(math.exp(entropy))  # 1.8899


def test_the_value_follows_from_the_eigenvalues_of_the_gram_matrix() -> None:
    features = torch.randn(12, 5, dtype=torch.float64)
    values = torch.linalg.eigvalsh(features.T @ features).sqrt()
    shares = values / values.sum()
    assert effective_rank(features) == pytest.approx(float(torch.exp(-(shares * shares.log()).sum())))


def test_k_orthogonal_directions_of_equal_strength_have_rank_k() -> None:
    assert effective_rank(torch.eye(6)[:4].repeat(3, 1)) == pytest.approx(4)


@pytest.mark.parametrize("features", [torch.ones(5, 3) * torch.rand(5, 1), torch.zeros(4, 4)])
def test_collapsed_features_have_rank_one(features: torch.Tensor) -> None:
    assert effective_rank(features) == pytest.approx(1, abs=1e-4)


def test_rotation_and_scale_do_not_matter() -> None:
    features, rotation = torch.randn(20, 6, dtype=torch.float64), torch.linalg.qr(torch.randn(6, 6).double()).Q
    assert effective_rank(7 * features @ rotation) == pytest.approx(effective_rank(features))
