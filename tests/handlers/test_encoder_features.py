import numpy as np
import pytest
import torch

from helpers.gray_images import evaluate_doubling, gray_images
from monai_ext.embedding import read_feature_table
from monai_ext.handlers import EncoderFeatures


@pytest.fixture
def images() -> torch.Tensor:
    return gray_images()


def test_features_of_the_whole_image_are_written_in_the_loaders_order(images, tmp_path):
    evaluator = evaluate_doubling(images, EncoderFeatures(tmp_path / "out", groups=list("abcde")))
    evaluator.run()
    table = read_feature_table(tmp_path / "out" / "features.parquet")
    np.testing.assert_allclose(table.features[:, 1], 2 * np.arange(5) / 5, rtol=1e-6)
    assert table.rows.groups == list("abcde")
