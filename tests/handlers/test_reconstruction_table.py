"""The handlers of evaluation and inference, on an evaluator whose network gives what the test wants."""

import csv
import json

import pytest
import torch

from helpers.gray_images import evaluate_doubling, gray_images
from monai_ext.handlers import ReconstructionTable
from monai_ext.metrics import ReconstructionError
from monai_ext.transforms import HounsfieldWindow


@pytest.fixture
def images() -> torch.Tensor:
    return gray_images()


def test_the_table_is_written_as_csv_and_json_and_into_the_metrics(images, tmp_path):
    metric = ReconstructionError(window=HounsfieldWindow("full"), windows=["full"], patch_size=4, name="spark")
    evaluator = evaluate_doubling(
        images, ReconstructionTable(tmp_path / "eval", metric=metric, details={"model": "m.pt"})
    )
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
    evaluator = evaluate_doubling(images, table)
    first = (tmp_path / "reconstruction_error.csv").read_text()
    evaluator.run()
    assert (tmp_path / "reconstruction_error.csv").read_text() == first
