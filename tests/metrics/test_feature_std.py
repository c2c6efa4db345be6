"""Spread of features."""

from __future__ import annotations

import pytest
import torch

from monai_ext.metrics import feature_std


def test_the_value_is_the_mean_deviation_of_unit_vectors_times_the_root_of_their_dimension() -> None:
    features = torch.tensor([[3.0, 4.0], [3.0, -4.0], [6.0, 8.0], [6.0, -8.0]])
    # unit vectors (0.6, +-0.8): deviations 0 and 0.8, their mean 0.4
    assert feature_std(features) == pytest.approx(0.4 * 2**0.5)


def test_lengths_do_not_matter() -> None:
    features = torch.randn(10, 5)
    assert feature_std(features * torch.rand(10, 1)) == pytest.approx(feature_std(features), abs=1e-6)


def test_equal_features_have_none() -> None:
    assert feature_std(torch.ones(6, 3)) == pytest.approx(0.0, abs=1e-12)


def test_an_isotropic_gaussian_is_near_one() -> None:
    assert feature_std(torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shape", [(1, 4), (3,), (3, 0), (2, 3, 4)])
def test_what_is_no_matrix_of_two_rows_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a matrix \(N, D\), one row for each of at least 2 images"):
        feature_std(torch.zeros(shape))


def test_values_that_are_not_finite_are_counted_and_refused() -> None:
    features = torch.zeros(4, 2)
    features[1, 0] = float("nan")
    with pytest.raises(ValueError, match="1 of 4 images have features that are not finite"):
        feature_std(features)
