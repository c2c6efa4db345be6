"""Labelled data is opened once for all sections, and a section is chosen when it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.file_accesses import file_accesses
from monai_ext.cli.splits import main as splits
from monai_ext.data import open_labelled_images, open_labelled_sections
from monai_ext.errors import DatasetError, SplitError

CLASSES = ["no", "yes"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve pictures of six patients with a published split; the test section lacks a class."""
    lines = ["file,label,patient_id,split"]
    for number in range(12):
        Image.fromarray(np.full((6, 8), 10 * number, dtype=np.uint8)).save(tmp_path / f"{number}.png")
        section = ("train", "val", "test")[number // 4]
        lines.append(f"{number}.png,{CLASSES[number % 2 and section != 'test']},p{number // 2},{section}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_sections_are_those_of_two_openings_from_one(table):
    with file_accesses(table) as accesses:
        images = open_labelled_sections(table, class_names=CLASSES)
        assert images.training is images.training
        sections = {"training": images.training, "validation": images.validation, "test": images.choose("test")}
    assert accesses.opened["labels.csv"] == 1
    assert not accesses.listed
    for name, section in sections.items():
        assert section.ids == open_labelled_images(table, class_names=CLASSES, section=name).ids
    groups = [set(section.groups) for section in sections.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_a_reduction_is_found_by_the_number_that_a_command_line_makes_of_its_name(table, tmp_path):
    output = tmp_path / "splits.json"
    arguments = ["make", str(table / "labels.csv"), "--official", "--reduce-fractions", "0.5", "--output", str(output)]
    assert splits(arguments) == 0
    names = ("0.5", 0.5)
    texts, numbers = (open_labelled_sections(table, splits=output, section=name).training for name in names)
    assert numbers.section == "0.5"
    assert len(numbers.ids) < 4
    assert numbers.ids == texts.ids


def test_only_the_section_that_is_asked_for_has_to_make_sense(table):
    images = open_labelled_sections(table, class_names=CLASSES, section="no such section")
    assert len(images.validation) == 4
    with pytest.raises(SplitError, match="no such section"):
        _ = images.training


def test_without_data_the_error_says_what_can_be_given():
    with pytest.raises(DatasetError, match="--dataset_dir"):
        open_labelled_sections(None, class_names=CLASSES)


def test_the_settings_of_a_run_are_plain_values(table):
    images = open_labelled_sections(table, class_names={"yes": "bleed", "no": "none"}, window="brain")
    settings = images.settings
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["class_names"], settings["labels"]) == (["bleed", "none"], {"yes": "bleed", "no": "none"})
    assert settings["window_hu"] == [0.0, 80.0]
