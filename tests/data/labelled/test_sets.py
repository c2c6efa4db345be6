"""Labelled images of one size: sets for signals, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.slice_stores import SERIES, make_store, pixels_of, rows_of
from monai_ext.data import LabelledImages, open_labelled_sets, open_sections
from monai_ext.data.labelled.to_store import store_labelled_pictures
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import make_splits
from monai_ext.data.store.reader import SliceStoreWriter
from monai_ext.errors import DatasetError, SplitError


def _set(path: Path, **options: Any) -> LabelledImages:
    (images,) = open_labelled_sets([{"path": str(path), **options}], image_size=8)
    return images


def _picture(file: Path, gray: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 24), gray, np.uint8)).save(file)


def _table(folder: Path, header: str, *rows: str) -> Path:
    """A labels table whose picture number i is all of gray 10 i."""
    for number, row in enumerate(rows):
        _picture(folder / row.split(",")[0], 10 * number)
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture
def covid(tmp_path: Path) -> Path:
    """Three patients for training, one of them with both classes, and one for test."""
    return _table(
        tmp_path / "covid-19 ct",
        "file,label,patient_id,split",
        *("a.png,COVID,Patient 1,train", "b.png,NonCOVID,Patient 1,train", "c.png,COVID,Patient 2,train"),
        *("d.png,NonCOVID,Patient 3,train", "e.png,COVID,Patient 4,test", "f.png,NonCOVID,Patient 4,test"),
    )


def test_a_table_gives_images_ready_for_the_network_with_class_and_group(covid: Path) -> None:
    slices = _set(covid / "labels.csv", image_size=16, channels=3)
    assert [slices[i]["label"] for i in range(len(slices))] == list(slices.labels) == [0, 1, 0, 1]
    assert slices.class_names == ("COVID", "NonCOVID")
    assert slices.ids == ("a.png", "b.png", "c.png", "d.png")
    first, second, third, fourth = slices.groups
    assert first == second
    assert len({first, third, fourth}) == 3
    image = slices[2]["image"]
    assert (image.shape, image.dtype) == ((3, 16, 16), torch.float32)
    assert image.unique().item() == pytest.approx(20 / 255)


def test_a_folder_with_a_table_is_the_table_and_names_the_set(covid: Path) -> None:
    slices = _set(covid)
    assert (slices.ids, slices.name) == (_set(covid / "labels.csv").ids, "COVID_NonCOVID")


@pytest.mark.parametrize(("section", "ids"), [("test", ["e.png", "f.png"]), ("all", [f"{n}.png" for n in "abcdef"])])
def test_a_section_of_the_published_split_has_its_items_only(covid: Path, section: str, ids: list[str]) -> None:
    assert list(_set(covid, section=section).ids) == ids


def test_without_a_split_everything_is_for_training_and_nothing_for_test(tmp_path: Path) -> None:
    _table(tmp_path, "file,label", "a.png,1", "b.png,0", "c.png,1", "d.png,0")
    slices = _set(tmp_path)
    assert (len(slices), len(set(slices.groups))) == (4, 4)
    with pytest.raises(SplitError, match="no published split, so it has no section 'test'"):
        _set(tmp_path, section="test")


def test_near_duplicates_are_one_group(tmp_path: Path) -> None:
    _table(tmp_path, "file,label", "a.png,1", "b.png,0", "c.png,1", "d.png,0")
    (tmp_path / "near_duplicates.csv").write_text("file_a,file_b,label\na.png,d.png,1\nd.png,c.png,1\n")
    groups = _set(tmp_path).groups
    assert groups[0] == groups[2] == groups[3] != groups[1]


def test_columns_can_have_other_names(tmp_path: Path) -> None:
    _table(tmp_path, "image,finding,case", "a.png,yes,1", "b.png,no,1", "c.png,yes,2", "d.png,no,2")
    columns = {"file": "image", "label": "finding", "group": "case"}
    slices = _set(tmp_path, columns=columns)
    assert (slices.class_names, len(set(slices.groups))) == (("no", "yes"), 2)


def test_a_patient_column_can_be_passed_over_on_purpose(covid: Path) -> None:
    with pytest.raises(SplitError, match="no column 'case'"):
        _set(covid, columns={"group": "case"})
    assert len(set(_set(covid, columns={"group": None}).groups)) == 4


def test_all_missing_pictures_are_named_at_once(covid: Path) -> None:
    for name in ("a.png", "c.png", "d.png", "e.png", "f.png"):
        (covid / name).unlink()
    with pytest.raises(SplitError, match=r"names 5 files .* 'a.png', 'c.png', 'd.png', 'e.png', 'f.png'\. Put"):
        _set(covid)


def test_a_folder_for_each_class_groups_by_the_folders_below(tmp_path: Path) -> None:
    for number, name in enumerate(
        ["bleed/1.png", "bleed/p7/1.png", "bleed/p7/2.png", "healthy/1.png", "healthy/p7/3.png"]
    ):
        _picture(tmp_path / name, number)
    slices = _set(tmp_path)
    assert slices.class_names == ("bleed", "healthy")
    assert slices.labels == (0, 0, 0, 1, 1)
    first, *patient, other, last = slices.groups
    assert len({*patient, last}) == 1
    assert len({first, patient[0], other}) == 3


def test_pictures_beside_each_other_without_labels_are_refused(tmp_path: Path) -> None:
    _picture(tmp_path / "a.png", 1)
    with pytest.raises(DatasetError, match=r"neither labels.csv nor only folders of classes: 1 pictures .*\(a.png\)"):
        _set(tmp_path)


def test_a_store_with_labels_and_a_splits_file_gives_their_sections_and_reductions(covid: Path, tmp_path: Path) -> None:
    table = _table(
        tmp_path / "more", "file,label,patient_id", *(f"{n}.png,{n % 2},patient {n // 2}" for n in range(24))
    )
    source = open_split_source(table / "labels.csv")
    list(store_labelled_pictures(source, table / "labels.csv", tmp_path / "store"))
    splits = make_splits(
        open_split_source(tmp_path / "store"), test_fraction=0.25, validation_fraction=0.25, reduce_per_class=[2]
    )
    splits.save(tmp_path / "splits.json")
    sections = {
        name: _set(tmp_path / "store", section=name, splits=tmp_path / "splits.json")
        for name in ("training", "validation", "test", "2_per_class")
    }
    assert sorted(sum((slices.ids for slices in list(sections.values())[:3]), ())) == sorted(
        _set(tmp_path / "store", section="all").ids
    )
    assert set(sections["2_per_class"].ids) < set(sections["training"].ids)
    assert sorted(sections["2_per_class"].labels) == [0, 0, 1, 1]
    for slices in sections.values():
        assert all(
            round(float(item["image"].max()) * 25.5) % 2 == item["label"]
            for item in map(slices.__getitem__, range(len(slices)))
        )
    with pytest.raises(SplitError, match="folds 0 to 0; fold 3 was asked for"):
        _set(tmp_path / "store", splits=tmp_path / "splits.json", fold=3)
    with pytest.raises(SplitError, match=r"no section '0\.5'; it has training, validation, test, 2_per_class"):
        _set(tmp_path / "store", splits=tmp_path / "splits.json", section="0.5")


def test_a_store_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has no labels"):
        _set(make_store(tmp_path / "store"))


def test_a_published_split_with_a_patient_on_two_sides_is_refused(tmp_path: Path) -> None:
    _table(
        tmp_path,
        "file,label,patient_id,split",
        *("a.png,0,1,train", "b.png,1,2,train", "c.png,0,1,test", "d.png,1,3,test"),
    )
    with pytest.raises(SplitError, match="the same patient_id in training and test"):
        _set(tmp_path)


@pytest.mark.parametrize(
    ("labels", "class_names", "words"),
    [
        ("aabbc", None, r"classes with fewer than two items: 'c' \(1\).*look for a misspelt label"),
        ("aabbb", ["a", "c"], r"not among the classes a, c: 'b' \(3\)"),
        ("aabbb", ["a", "b", "c"], r"fewer than two items: 'c' \(0\)"),
        ("aaaaa", None, "has the one class 'a'"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused(
    labels: str, class_names: list[str] | None, words: str, tmp_path: Path
) -> None:
    _table(tmp_path, "file,label", *(f"{number}.png,{label}" for number, label in enumerate(labels)))
    with pytest.raises(DatasetError, match=words):
        _set(tmp_path, class_names=class_names)


def test_classes_are_sorted_as_numbers_or_in_the_order_that_is_given(tmp_path: Path) -> None:
    _table(tmp_path, "file,label", *(f"{number}.png,{label}" for number, label in enumerate([10, 9, 10, 9])))
    assert _set(tmp_path).class_names == ("9", "10")
    assert _set(tmp_path, class_names=["10", "9"]).labels == (0, 1, 0, 1)


def test_an_unknown_column_key_is_refused(covid: Path) -> None:
    with pytest.raises(ValueError, match="columns for file, label, group, split"):
        _set(covid, columns={"labels": "label"})


@pytest.mark.parametrize("name", ["no/such/place", "notes.txt"])
def test_what_is_no_labelled_data_is_refused_with_what_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match="a folder with one folder of pictures for each class"):
        _set(tmp_path / name)


def test_the_description_is_json_without_patients(covid: Path) -> None:
    description = _set(covid).describe()
    assert json.loads(json.dumps(description)) == description
    assert description["classes"] == {"COVID": 2, "NonCOVID": 2}
    assert (description["groups"], description["grouped_by"], description["section"]) == (3, "patient_id", "training")
    assert "Patient" not in json.dumps(description)


def _labelled_hounsfield(folder: Path) -> Path:
    with SliceStoreWriter.open(folder, source_kind="ct") as writer:
        for number, series in enumerate(SERIES):
            writer.add_series(series, pixels_of(series), rows_of(series, label=str(number % 2)), {"files": 3})
    return folder


def test_several_sets_have_names_of_their_own_and_the_window_where_there_are_hounsfield_units(
    covid: Path, tmp_path: Path
) -> None:
    store = _labelled_hounsfield(tmp_path / "COVID_NonCOVID")
    first, second, third = open_labelled_sets(
        [str(store), str(covid), {"path": str(covid), "section": "all", "name": "ours"}], image_size=8, window="lung"
    )
    assert (first.name, second.name, third.name) == ("0_1", "COVID_NonCOVID", "ours")
    assert (len(first), len(second), len(third)) == (9, 4, 6)
    assert first.images.window is not None
    assert second.images.window is None
    assert first[0]["image"].max() == pytest.approx(0.9)  # 0 HU in the lung window, -1350 to 150 HU


def test_sets_can_be_like_the_slices_that_are_trained_on(covid: Path, tmp_path: Path) -> None:
    slices = open_sections(_labelled_hounsfield(tmp_path / "store"), image_size=12, window="lung", channels=2)
    (images,) = open_labelled_sets(str(covid), like=slices)
    assert images[0]["image"].shape == (2, 12, 12)


def test_no_set_is_an_empty_list_and_one_path_is_one_set(covid: Path) -> None:
    assert open_labelled_sets(None) == []
    assert len(open_labelled_sets(str(covid))) == 1
    with pytest.raises(DatasetError, match="A labelled set is a path"):
        open_labelled_sets([{"section": "all"}])


def test_real_sets_open_without_their_test_images(shared_data: Path) -> None:
    head, covid = open_labelled_sets([str(shared_data / "head_ct"), str(shared_data / "covid_ct")], image_size=32)
    assert (head.name, len(head), len(set(head.groups)), head.class_names) == ("0_1", 200, 185, ("0", "1"))
    assert (covid.name, len(covid), covid.class_names) == ("COVID_NonCOVID", 191 + 234, ("COVID", "NonCOVID"))
    assert covid[0]["image"].shape == (1, 32, 32)
