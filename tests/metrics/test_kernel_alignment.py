"""Similarity of networks: known truths, and why the estimator is the unbiased one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monai_ext.metrics.kernel_alignment import gram_matrix, minibatch_cka, unbiased_hsic


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cka(first: Tensor, second: Tensor, *, batch: int | None = None) -> float:
    size = batch or len(first)
    grams = [
        torch.stack([gram_matrix(first[place : place + size]), gram_matrix(second[place : place + size])])
        for place in range(0, len(first), size)
    ]
    return float(minibatch_cka(grams)[0, 1])


def biased(first: Tensor, second: Tensor) -> float:
    """Kornblith et al. 2019, equation 4, as it stands there."""
    first, second = first - first.mean(0), second - second.mean(0)
    return float((second.T @ first).norm() ** 2 / ((first.T @ first).norm() * (second.T @ second).norm()))


def test_a_rotated_scaled_and_shifted_copy_is_the_same() -> None:
    features = normal(40, 12)
    rotation = torch.linalg.qr(normal(12, 12, seed=1))[0]
    assert cka(features, 7 * features @ rotation + 100) == pytest.approx(1, abs=1e-5)
    assert cka(features, 7 * features @ rotation + 100, batch=10) == pytest.approx(1, abs=1e-5)


def test_features_that_have_nothing_in_common_give_about_zero_where_the_biased_estimator_gives_nearly_one() -> None:
    values = [cka(normal(64, 4096, seed=seed), normal(64, 4096, seed=seed + 100)) for seed in range(8)]
    assert abs(sum(values) / 8) < 0.03
    assert biased(normal(64, 4096), normal(64, 4096, seed=100)) > 0.95


def test_half_of_the_variance_in_common_gives_what_theory_says() -> None:
    """Of y = x beside as many features of its own, as large: CKA is |xx|^2 / (|xx| |yy|) = 1 / sqrt(2)."""
    shared = normal(4000, 8)
    second = torch.cat([shared, normal(4000, 8, seed=5)], dim=1)
    assert cka(shared, second, batch=500) == pytest.approx(2**-0.5, abs=0.02)


def test_the_criterion_is_the_mean_over_all_quadruples_of_different_images() -> None:
    """Its definition, image by image: E[k l] + E[k] E[l] - 2 E[k l'] without any pair of equal images."""
    first, second = normal(6, 3), normal(6, 2, seed=3)
    k, l = first @ first.T, second @ second.T  # noqa: E741
    places = torch.cartesian_prod(*[torch.arange(6)] * 4)
    a, b, c, d = places[[len(set(row.tolist())) == 4 for row in places]].T
    expected = (k[a, b] * l[a, b] + k[a, b] * l[c, d] - 2 * k[a, b] * l[a, c]).mean()
    assert float(unbiased_hsic(torch.stack([k, l]))[0, 1]) == pytest.approx(float(expected), rel=1e-9)


def test_batches_are_averaged_before_the_quotient() -> None:
    batches = [torch.stack([gram_matrix(normal(9, 4, seed=s)), gram_matrix(normal(9, 3, seed=s + 9))]) for s in (1, 2)]
    mean = (unbiased_hsic(batches[0]) + unbiased_hsic(batches[1])) / 2
    expected = mean[0, 1] / (mean[0, 0] * mean[1, 1]).sqrt()
    assert float(minibatch_cka(batches)[0, 1]) == pytest.approx(float(expected))


def test_features_that_are_all_the_same_are_similar_to_nothing() -> None:
    grams = torch.stack([gram_matrix(torch.ones(8, 3)), gram_matrix(normal(8, 3))])
    assert minibatch_cka([grams]).isnan()[0].all()


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 images; received 3"):
        minibatch_cka([torch.zeros(2, 3, 3)])
    with pytest.raises(ValueError, match="at least one batch"):
        minibatch_cka([])
