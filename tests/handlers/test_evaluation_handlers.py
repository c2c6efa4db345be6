"""The handlers of evaluation and inference, on an evaluator whose network gives what the test wants."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from monai_ext.embedding import read_feature_table
from monai_ext.engines import PretrainingEvaluator
from monai_ext.handlers import EncoderFeatures, ReconstructionTable, ReconstructionWriter
from monai_ext.inferers import MaskedImageInferer
from monai_ext.metrics import ReconstructionError
from monai_ext.transforms import HounsfieldWindow


class Doubling(nn.Module):
    """Predicts zeros with the left half visible; its encoder gives the image's mean and twice that."""

    class Encoder(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            mean = image.mean(dim=(2, 3))
            return torch.cat([mean, 2 * mean], dim=1)

    def __init__(self):
        super().__init__()
        self.encoder = self.Encoder()

    def draw_visible(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.tensor([[[[True, False]]]]).expand(len(image), -1, -1, -1)

    def forward(self, image: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(image)


@pytest.fixture
def images() -> torch.Tensor:
    """Five images (1, 4, 8) of one gray each: 0.0, 0.2, ... 0.8."""
    return (torch.arange(5) / 5).view(5, 1, 1, 1).expand(5, 1, 4, 8).clone()


def _evaluate(images: torch.Tensor, *handlers) -> PretrainingEvaluator:
    evaluator = PretrainingEvaluator(
        "cpu", network=Doubling(), val_data_loader=images.split(2), inferer=MaskedImageInferer(), handlers=handlers
    )
    evaluator.run()
    return evaluator


def test_the_table_is_written_as_csv_and_json_and_into_the_metrics(images, tmp_path):
    metric = ReconstructionError(window=HounsfieldWindow("full"), windows=["full"], patch_size=4, name="spark")
    evaluator = _evaluate(images, ReconstructionTable(tmp_path / "eval", metric=metric, details={"model": "m.pt"}))
    rows = list(csv.DictReader((tmp_path / "eval" / "reconstruction_error.csv").open()))
    content = json.loads((tmp_path / "eval" / "reconstruction_error.json").read_text())
    assert [float(row["full_error_hu"]) for row in rows] == [row["full_error_hu"] for row in content["rows"]]
    assert content["model"] == "m.pt"
    assert rows[-1]["normalized_error"] == ""
    metrics = evaluator.state.metrics
    assert metrics["spark/full_error_hu"] == content["rows"][0]["full_error_hu"]
    assert "linear_inpainting_own/full_error_hu" in metrics
    assert "linear_inpainting/normalized_error" in metrics


def test_a_second_evaluation_starts_a_new_table(images, tmp_path):
    table = ReconstructionTable(tmp_path, metric=ReconstructionError(window=None, patch_size=4))
    evaluator = _evaluate(images, table)
    first = (tmp_path / "reconstruction_error.csv").read_text()
    evaluator.run()
    assert (tmp_path / "reconstruction_error.csv").read_text() == first


def test_pictures_are_named_by_number_and_group_up_to_the_limit(images, tmp_path):
    _evaluate(images, ReconstructionWriter(tmp_path / "pictures", groups=list("abcde"), limit=3))
    names = sorted(file.name for file in (tmp_path / "pictures").iterdir())
    assert names == ["000000_a.png", "000001_b.png", "000002_c.png"]
    picture = np.asarray(Image.open(tmp_path / "pictures" / "000002_c.png"))
    assert picture.shape == (4, 3 * 8)
    assert (picture[:, :8] == 102).all()  # the image, 0.4
    assert (picture[:, 8:12] == 102).all()  # its visible half
    assert (picture[:, 12:16] == 128).all()  # gray where masked
    assert (picture[:, 16:] == 102).all()  # zero in units of a flat patch is its mean


def test_without_a_limit_every_image_gets_a_picture(images, tmp_path):
    _evaluate(images, ReconstructionWriter(tmp_path, groups=list("abcde")))
    assert len(list(tmp_path.iterdir())) == 5


def test_features_of_the_whole_image_are_written_in_the_loaders_order(images, tmp_path):
    evaluator = _evaluate(images, EncoderFeatures(tmp_path / "out", groups=list("abcde")))
    evaluator.run()
    table = read_feature_table(tmp_path / "out" / "features.parquet")
    np.testing.assert_allclose(table.features[:, 1], 2 * np.arange(5) / 5, rtol=1e-6)
    assert table.rows.groups == list("abcde")
