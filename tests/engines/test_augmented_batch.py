"""Augmentation on the training device."""

import torch

from monai_ext.engines import AugmentedBatch


def test_images_are_augmented_and_labels_kept():
    images, labels = AugmentedBatch(lambda batch: batch + 1)(
        {"image": torch.zeros(2, 1, 4, 4), "label": torch.tensor([0, 1])}, "cpu"
    )
    assert torch.equal(images, torch.ones(2, 1, 4, 4))
    assert labels.tolist() == [0, 1]


def test_without_views_images_stay_as_they_are():
    batch = {"image": torch.rand(2, 1, 4, 4), "label": torch.tensor([0, 1])}
    assert torch.equal(AugmentedBatch()(batch)[0], batch["image"])
