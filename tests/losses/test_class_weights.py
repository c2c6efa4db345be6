"""Weights of classes."""

import pytest
import torch

from monai_ext.losses import class_weights


def test_balanced_classes_weigh_the_same_in_all():
    labels = [0] * 6 + [1] * 3 + [2]
    weights = class_weights(labels, classes=3, weights="balanced")
    assert torch.allclose(weights * torch.tensor([6.0, 3.0, 1.0]), torch.full((3,), 10 / 3))


def test_given_weights_are_taken_and_none_are_none():
    assert class_weights([0, 1], classes=2, weights=[1, 3]).tolist() == [1.0, 3.0]
    assert class_weights([0, 1], classes=2) is None


@pytest.mark.parametrize("weights", ["inverse", [1.0], [1.0, 0.0]])
def test_other_weights_are_refused(weights):
    with pytest.raises(ValueError, match=r"2 (numbers|classes)"):
        class_weights([0, 1], classes=2, weights=weights)


def test_a_class_without_labels_cannot_be_balanced():
    with pytest.raises(ValueError, match=r"\[2, 0\]"):
        class_weights([0, 0], classes=2, weights="balanced")
