import numpy as np
import pytest
import torch
from PIL import Image

from helpers.gray_images import evaluate_doubling, gray_images
from monai_ext.handlers import ReconstructionWriter


@pytest.fixture
def images() -> torch.Tensor:
    return gray_images()


def test_pictures_are_named_by_number_and_group_up_to_the_limit(images, tmp_path):
    evaluate_doubling(images, ReconstructionWriter(tmp_path / "pictures", groups=list("abcde"), limit=3))
    names = sorted(file.name for file in (tmp_path / "pictures").iterdir())
    assert names == ["000000_a.png", "000001_b.png", "000002_c.png"]
    picture = np.asarray(Image.open(tmp_path / "pictures" / "000002_c.png"))
    assert picture.shape == (4, 3 * 8)
    assert (picture[:, :8] == 102).all()  # the image, 0.4
    assert (picture[:, 8:12] == 102).all()  # its visible half
    assert (picture[:, 12:16] == 128).all()  # gray where masked
    assert (picture[:, 16:] == 102).all()  # zero in units of a flat patch is its mean


def test_without_a_limit_every_image_gets_a_picture(images, tmp_path):
    evaluate_doubling(images, ReconstructionWriter(tmp_path, groups=list("abcde")))
    assert len(list(tmp_path.iterdir())) == 5
