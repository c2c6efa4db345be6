"""k nearest neighbours outside the own group."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from monai_ext.metrics import knn_predictions


def _angles(*degrees: float) -> torch.Tensor:
    """Unit vectors of the plane."""
    radians = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def _data(seed: int, images: int = 60, groups: int = 12) -> tuple[torch.Tensor, list[int], list[int]]:
    generator = torch.Generator().manual_seed(seed)
    labels = [number % 3 for number in range(images)]
    features = torch.randn(images, 6, generator=generator, dtype=torch.float64)
    features[torch.arange(images), torch.tensor(labels)] += 1.0
    return features, labels, [number % groups for number in range(images)]


def test_weights_let_one_very_near_neighbour_outvote_two_farther_ones() -> None:
    features, labels, groups = _angles(0, 1, 60, 60, 61, 62), [0, 0, 1, 1, 1, 0], list(range(6))
    # of the first: cosines 0.9998, 0.5, 0.5; exp(0.9998 / 0.07) is larger than twice exp(0.5 / 0.07)
    assert math.exp(0.9998 / 0.07) > 2 * math.exp(0.5 / 0.07)
    assert knn_predictions(features, labels, groups, k=3)[0] == 0
    assert knn_predictions(features, labels, groups, k=3, temperature=None)[0] == 1


@pytest.mark.parametrize("k", [1, 4, 7])
@pytest.mark.parametrize("temperature", [None, 0.07])
def test_predictions_are_those_of_scikit_learn_leaving_one_group_out(k: int, temperature: float | None) -> None:
    features, labels, groups = _data(seed=k)
    weights = "uniform" if temperature is None else lambda distances: np.exp((1 - distances) / temperature)
    classifier = KNeighborsClassifier(k, weights=weights, metric="cosine", algorithm="brute")
    expected = cross_val_predict(classifier, features.numpy(), labels, groups=groups, cv=LeaveOneGroupOut())
    assert knn_predictions(features, labels, groups, k=k, temperature=temperature).tolist() == expected.tolist()


def test_the_own_group_never_votes() -> None:
    features = _angles(0, 0.1, 30, 90, 90.1, 120)
    labels, groups = [0, 0, 1, 1, 1, 0], ["a", "a", "b", "c", "c", "d"]
    assert knn_predictions(features, labels, groups, k=1).tolist() == [1, 1, 0, 0, 0, 1]
    assert knn_predictions(features, labels, k=1).tolist() == [0, 0, 0, 1, 1, 1]


def test_scale_and_order_of_the_images_do_not_matter() -> None:
    features, labels, groups = _data(seed=3)
    order = torch.randperm(len(labels))
    shuffled = knn_predictions(features[order] * 5, [labels[i] for i in order], [groups[i] for i in order], k=5)
    assert shuffled.tolist() == knn_predictions(features, labels, groups, k=5)[order].tolist()


def test_more_neighbours_than_there_are_in_other_groups_are_refused_with_the_largest_number() -> None:
    with pytest.raises(ValueError, match="Lower k to at most 2"):
        knn_predictions(_angles(0, 1, 2, 3), [0, 1, 0, 1], ["a", "a", "b", "b"], k=3)


def test_a_class_in_one_group_is_refused() -> None:
    with pytest.raises(ValueError, match="Class 1 has images of one group only"):
        knn_predictions(_angles(0, 1, 2, 3), [0, 1, 1, 0], ["a", "b", "b", "c"], k=1)


@pytest.mark.parametrize("numbers", [{"k": 0}, {"k": 1, "temperature": 0.0}])
def test_numbers_out_of_range_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="k is at least 1 and the temperature is above 0"):
        knn_predictions(_angles(0, 1, 2, 3), [0, 1, 0, 1], **numbers)


def test_a_missing_label_is_refused() -> None:
    with pytest.raises(ValueError, match="received 3 features, 2 classes and 2 groups"):
        knn_predictions(_angles(0, 1, 2), [0, 1], k=1)
