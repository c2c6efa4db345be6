"""Augmentation on the training device."""

import torch

from monai_ext.engines import AugmentedBatch
from monai_ext.transforms import RandomView


def test_images_are_augmented_and_labels_kept():
    images, labels = AugmentedBatch(lambda batch: batch + 1)(
        {"image": torch.zeros(2, 1, 4, 4), "label": torch.tensor([0, 1])}, "cpu"
    )
    assert torch.equal(images, torch.ones(2, 1, 4, 4))
    assert labels.tolist() == [0, 1]


def test_without_views_images_stay_as_they_are():
    batch = {"image": torch.rand(2, 1, 4, 4), "label": torch.tensor([0, 1])}
    assert torch.equal(AugmentedBatch()(batch)[0], batch["image"])


def test_label_maps_get_the_draws_of_their_images():
    maps = (torch.rand(4, 1, 16, 16) > 0.5).long()
    views = RandomView(16, scale=[1.0, 1.0], ratio=[1.0, 1.0], rotation=None, intensity=None, blur=None, noise=None)
    images, labels = AugmentedBatch(views)({"image": maps.float(), "label": maps})
    assert torch.equal(images.round().long(), labels)
    assert not torch.equal(labels, maps)
