import logging

import pytest
from PIL import Image

from helpers.masked_images import disc, write_masked_pictures, write_masked_volumes
from monai_ext.cli.splits import main as splits
from monai_ext.data import open_segmented_sections
from monai_ext.errors import DatasetError, SplitError


@pytest.fixture
def folder(tmp_path):
    return write_masked_pictures(tmp_path / "data")


def test_published_sections_are_taken(folder):
    sections = open_segmented_sections(folder, class_names=["background", "infection"])
    assert [len(sections.choose(name)) for name in ("training", "validation", "test")] == [12, 4, 8]
    assert sections.training.class_names == ("background", "infection")


def test_patients_are_never_on_two_sides_of_a_split_that_is_made_here(tmp_path):
    sections = open_segmented_sections(write_masked_volumes(tmp_path / "data", count=10), seed=3)
    groups = [set(sections.choose(name).groups) for name in ("training", "validation", "test")]
    assert [len(part) for part in groups] == [6, 2, 2]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_a_published_split_without_validation_gets_one_from_its_training_patients(folder, caplog):
    table = folder / "masks.csv"
    table.write_text(table.read_text().replace(",val", ",train"))
    with caplog.at_level(logging.INFO):
        sections = open_segmented_sections(folder)
        numbers = [len(sections.choose(name)) for name in ("training", "validation", "test")]
    assert numbers == [12, 4, 8]
    assert "published without a validation section" in caplog.text
    assert not set(sections.training.groups) & set(sections.validation.groups)


def test_splits_with_reductions_are_made_by_the_command_and_used(folder, tmp_path, capsys):
    output = tmp_path / "splits.json"
    arguments = ["make", str(folder), "--official", "--reduce-fractions", "0.5", "--output", str(output)]
    assert splits(arguments) == 0
    sections = open_segmented_sections(folder, splits=output, section="0.5")
    as_number = open_segmented_sections(folder, splits=output, section=0.5)  # as --section 0.5 arrives
    assert as_number.training.section == "0.5"
    assert as_number.training.ids == sections.training.ids
    assert len(sections.training) == 6
    assert splits(["check", str(output), str(folder)]) == 0
    Image.fromarray(disc(9)[1]).save(folder / "masks" / "03.png")
    with pytest.raises(SplitError):
        open_segmented_sections(folder, splits=output).training  # noqa: B018


def test_near_duplicates_stay_together_or_are_named(folder):
    (folder / "near_duplicates.csv").write_text("a,b\nimages/00.png,images/08.png\n")
    sections = open_segmented_sections(folder)
    assert sections.choose("test").near_duplicates == (0,)


def test_settings_are_what_inference_needs(folder):
    sections = open_segmented_sections(folder, class_names=["background", "infection"], window="lung")
    settings = sections.settings
    assert settings["task_kind"] == "segmentation"
    assert settings["labels"] == {"1": "infection"}
    assert settings["class_names"] == ["background", "infection"]
    assert settings["window_hu"] == [-1350.0, 150.0]


def test_without_data_it_is_the_phantoms_which_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        sections = open_segmented_sections(None)
    assert "embedded phantoms with masks" in caplog.text
    assert len(sections.training) > 2 * len(sections.validation) > 0


@pytest.mark.parametrize("size", [0, 100, 250])
def test_sizes_that_the_network_cannot_halve_are_refused(folder, size):
    with pytest.raises(DatasetError, match=rf"multiple of 32; received {size}: take \d+"):
        open_segmented_sections(folder, image_size=size)


def test_a_training_section_without_marks_is_refused(folder):
    for number in range(24):
        if (number // 2) % 6 < 3:
            Image.fromarray(disc(0)[1] * 0).save(folder / "masks" / f"{number:02d}.png")
    with pytest.raises(DatasetError, match="Nothing is marked in any of the 12 images of the section 'training'"):
        open_segmented_sections(folder).training  # noqa: B018
