import numpy as np
import pytest
import torch

from helpers.masked_images import disc, write_masked_pictures
from monai_ext.data import open_segmented_sections


@pytest.fixture
def images(tmp_path):
    return open_segmented_sections(write_masked_pictures(tmp_path / "data")).choose("all")


def test_an_item_is_an_image_its_mask_and_its_place(images):
    item = images[5]
    image, mask = disc(5)
    assert torch.equal(item["image"], torch.from_numpy(image / np.float32(255))[None])
    assert torch.equal(item["label"], torch.from_numpy(mask // 255).long()[None])
    assert item["index"] == 5
    assert images[-1]["index"] == 23


def test_groups_are_pseudonyms_of_patients(images):
    assert images.groups[0] == images.groups[1] != images.groups[2]
    assert not set(images.groups) & {f"p{number}" for number in range(12)}


def test_what_is_in_it_is_described_without_identity(images):
    content = images.describe()
    assert content["with_a_mask"] == content["cases"] == content["count"] == 24
    assert content["groups"] == 12
    assert content["classes"] == ["background", "lesion"]
    assert "p3" not in str({name: value for name, value in content.items() if name not in ("source", "fingerprint")})


def test_shares_of_classes_sum_to_one(images):
    shares = images.class_shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["lesion"] == pytest.approx(np.mean([(disc(number)[1] > 0).mean() for number in range(24)]))
