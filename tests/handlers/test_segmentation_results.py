import json

import numpy as np
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, EnsureTyped, Resized
from torch import nn

from helpers.masked_images import write_masked_pictures, write_masked_volumes
from monai_ext.data import CachedImages, open_segmented_sections, slice_loader
from monai_ext.handlers import SegmentationResults


class Bright(nn.Module):
    """Marks what is bright."""

    def forward(self, images):
        return torch.cat([torch.zeros_like(images), 50 * (images - self.level)], dim=1)

    def __init__(self, level):
        super().__init__()
        self.level = level


def _evaluate(images, results, *, level=0.45, size=(40, 44)):
    both = ["image", "label"]
    chain = Compose([Resized(both, size, mode=["bilinear", "nearest"]), EnsureTyped(both, track_meta=False)])
    dataset = CachedImages(images, transform=chain, num_workers=0)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=slice_loader(dataset, batch_size=4),
        network=Bright(level),
        decollate=False,
        val_handlers=[results],
    )
    evaluator.run()
    return evaluator.state.metrics


@pytest.fixture
def pictures(tmp_path):
    return open_segmented_sections(write_masked_pictures(tmp_path / "data")).choose("all")


def test_a_network_that_marks_what_is_there_has_dice_one(pictures):
    metrics = _evaluate(pictures, SegmentationResults(images=pictures))
    assert metrics["dice"] == 1
    assert metrics["volume_error"] == metrics["missed"] == 0
    assert "dice_low" not in metrics
    assert "nsd" not in metrics


def test_it_is_judged_at_the_images_own_size(pictures):
    metrics = _evaluate(pictures, SegmentationResults(images=pictures), size=(10, 11))
    assert 0.5 < metrics["dice"] < 0.99


def test_slices_of_a_volume_are_one_case(tmp_path):
    images = open_segmented_sections(write_masked_volumes(tmp_path / "data"), window=[-400, 1000]).choose("all")
    results = SegmentationResults(tmp_path / "out", images=images, n_bootstrap=50)
    metrics = _evaluate(images, results)
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["cases"] == content["groups"] == 5
    assert content["tolerance_unit"] == "mm"
    assert metrics["dice"] == pytest.approx(content["metrics"]["dice"]["value"])
    assert metrics["nsd"] > 0.9


def test_files_and_intervals_are_there_where_there_is_a_folder(pictures, tmp_path):
    results = SegmentationResults(tmp_path / "out", images=pictures, n_bootstrap=50, details={"model": "m"})
    metrics = _evaluate(pictures, results, level=0.6)
    assert metrics["dice_low"] <= metrics["dice"] <= metrics["dice_high"]
    names = {"metrics.json", "metrics.csv", "per_class.csv", "per_case.csv", "overlays.png", "sizes.png"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["model"] == "m"
    assert len((tmp_path / "out" / "per_case.csv").read_text().splitlines()) == 25
    assert "images/" not in (tmp_path / "out" / "per_case.csv").read_text()


def test_cases_that_resemble_earlier_ones_are_left_out_of_a_second_result(tmp_path):
    folder = write_masked_pictures(tmp_path / "data")
    (folder / "near_duplicates.csv").write_text("a,b\nimages/00.png,images/08.png\n")
    images = open_segmented_sections(folder).choose("test")
    metrics = _evaluate(images, SegmentationResults(images=images))
    assert "dice_without_excluded" in metrics


def test_images_that_were_not_predicted_are_counted(pictures):
    some = torch.utils.data.Subset(pictures, range(8))
    with pytest.raises(ValueError, match="16 of 24 images of the section 'all' were not predicted"):
        _evaluate(some, SegmentationResults(images=pictures))


def test_other_numbers_of_classes_are_refused(tmp_path):
    folder = write_masked_pictures(tmp_path / "data")
    classes = {"class_names": ["a", "b", "c"], "mask_values": [0, 255, 7]}
    images = open_segmented_sections(folder, **classes).choose("all")
    with pytest.raises(ValueError, match=r"\(B, K, H, W\) with K = 3; received \(4, 2, 40, 44\)"):
        _evaluate(images, SegmentationResults(images=images))


def test_a_negative_tolerance_is_refused(pictures):
    with pytest.raises(ValueError, match="distance of 0 or more; received -1"):
        SegmentationResults(images=pictures, tolerance=-1)


def test_there_is_no_threshold(pictures):
    assert SegmentationResults(images=pictures).chosen_threshold is None
    assert np.isfinite(_evaluate(pictures, SegmentationResults(images=pictures))["dice"])
