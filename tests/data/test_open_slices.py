"""The one way in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.slice_files import write_pictures, write_series, write_volume
from helpers.slice_stores import make_store
from monai_ext.data import load_size_for, open_sections, open_slices
from monai_ext.data.sources.open import open_source
from monai_ext.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of the kind that the test asks for."""
    for number in range(3):
        if request.param == "pictures":
            write_pictures(tmp_path / str(number), count=2, rows=32, columns=36)
        elif request.param == "DICOM":
            write_series(tmp_path / str(number), slices=2, size=32, number=number + 1)
        else:
            write_volume(tmp_path / f"{number}.nii.gz", np.full((32, 36, 2), -500, dtype=np.int16))
    return tmp_path


EVERY_KIND = pytest.mark.parametrize("folder", ["pictures", "DICOM", "NIfTI"], indirect=True)


@EVERY_KIND
def test_every_kind_of_folder_gives_items_in_the_unit_interval(folder: Path) -> None:
    slices = open_slices(folder, image_size=28)
    items = torch.stack([slices[index] for index in range(len(slices))])
    assert items.shape == (4 if slices.describe()["grouped_by"] != "picture" else 5, 1, 32, 32)
    assert (items.dtype, items.min() >= 0, items.max() <= 1) == (torch.float32, True, True)


@EVERY_KIND
def test_training_and_validation_share_no_group_and_make_up_the_whole(folder: Path) -> None:
    sections = {section: open_slices(folder, image_size=28, section=section) for section in ("training", "validation")}
    assert not set(sections["training"].groups) & set(sections["validation"].groups)
    assert sum(map(len, sections.values())) == len(open_slices(folder, section="all")) == 6
    assert len({dataset.fingerprint for dataset in sections.values()}) == 1


@EVERY_KIND
def test_sections_of_a_folder_are_those_of_two_openings_from_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openings: list[Path | None] = []

    def counted(dataset_dir: Path | None) -> Any:
        openings.append(dataset_dir)
        return open_source(dataset_dir)

    monkeypatch.setattr(sys.modules["monai_ext.data.open_slices"], "open_source", counted)
    slices = open_sections(folder, image_size=28, seed=3)
    for section in ("training", "validation"):
        both = getattr(slices, section)
        assert both is getattr(slices, section)
        alone = open_slices(open_source(folder), image_size=28, section=section, seed=3)
        assert (both.indices, both.load_size) == (alone.indices, alone.load_size)
    assert openings == [folder]


def test_the_sample_limits_the_length_of_a_demonstration_and_real_data_do_not(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=4)
    assert open_sections(None, image_size=16).epochs_limit(8) == 8
    assert open_sections(tmp_path, image_size=16).epochs_limit(8) is None


@EVERY_KIND
def test_the_description_can_be_written_as_json(folder: Path) -> None:
    description = open_slices(folder, image_size=28).describe()
    assert json.loads(json.dumps(description)) == description
    assert description["kind"] in ("pictures", "DICOM", "NIfTI")
    assert description["source"] == str(folder)


def test_training_slices_are_larger_than_the_views_and_the_others_as_large(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=4)
    sizes = [
        open_slices(tmp_path, image_size=28, section=name)[0].shape[-1] for name in ("training", "validation", "all")
    ]
    assert sizes == [32, 28, 28]


@pytest.mark.parametrize(("image_size", "expected"), [(224, 256), (96, 110), (128, 147), (7, 8)])
def test_the_load_size_is_eight_sevenths(image_size: int, expected: int) -> None:
    assert load_size_for(image_size) == expected


def test_a_single_file_is_enough_to_look_at(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=3)
    assert len(open_slices(tmp_path / "001.png", section="all", image_size=16)) == 1


def test_images_smaller_than_the_input_are_warned_about_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path, count=3, rows=40, columns=50)
    for section in ("training", "validation"):
        open_slices(tmp_path, image_size=64, section=section)
    assert caplog.text.count("the smallest has 40 x 50 pixels, image_size is 64") == 1


def test_pictures_of_mixed_sizes_are_brought_to_one(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=2, rows=20, columns=30)
    Image.new("L", (64, 48)).save(tmp_path / "larger.png")
    slices = open_slices(tmp_path, section="all", image_size=16)
    assert {slices[index].shape for index in range(3)} == {(1, 16, 16)}
    assert slices.describe()["sizes"] == 2


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no section 'test'; the sections are training, validation, all"):
        open_slices(tmp_path, section="test")


def test_validation_of_nothing_held_out_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    with pytest.raises(DatasetError, match="No slice is left for the section 'validation'"):
        open_slices(tmp_path, section="validation", validation_fraction=0)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no image in"):
        open_slices(tmp_path)


def test_without_a_folder_the_embedded_sample_is_used_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        training = open_slices(image_size=56)
        validation = open_slices(image_size=56, section="validation")
    assert caplog.text.count("No dataset_dir is given: this trains on the embedded sample") == 1
    assert (len(training) + len(validation), training.describe()["source"]) == (148, "embedded sample")
    assert training.describe()["grouped_by"] == "patient"
    hounsfield = training.window.inverse(torch.stack([training[index] for index in range(0, len(training), 9)]))
    assert hounsfield.min() < -990
    assert hounsfield.max() > 500
    assert torch.equal(training[0], open_slices(image_size=56)[0])


def test_real_slices_open(shared_data: Path) -> None:
    slices = open_slices(shared_data / "ct_pool", image_size=96)
    assert len(slices) == 1689
    assert slices[0].std() > 0.05


def test_a_slice_store_comes_through_the_same_door(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    training, validation = (open_slices(store, section=name, image_size=16) for name in ("training", "validation"))
    assert (training.describe()["kind"], training.describe()["grouped_by"]) == ("slice store", "patient")
    assert len(training) + len(validation) == 9
    assert training[0].shape == (1, 19, 19)
