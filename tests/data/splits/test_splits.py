"""Splits as files: written once, and refused when they do not fit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monai_ext.data.splits.items import SplitSource
from monai_ext.data.splits.splits import Fold, Splits, load_splits, read_splits
from monai_ext.errors import SplitError


def make_source(*, content_hash: str = "abc") -> SplitSource:
    """Eight items of four patients, a class each two patients."""
    return SplitSource(
        kind="labels table",
        name="labels.csv",
        content_hash=content_hash,
        ids=tuple("abcdefgh"),
        labels=tuple("xxxxyyyy"),
        groups=("1", "1", "2", "2", "3", "3", "4", "4"),
        grouped_by="patient_id",
    )


FOLD = Fold(training=tuple("abef"), validation=tuple("cd"), test=tuple("gh"), reductions={"0.5": ("a", "e")})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Splits.of(make_source(), [FOLD], {"seed": 0}).save(tmp_path / "splits.json")
    return tmp_path / "splits.json"


def edit(file: Path, section: str, ids: object) -> None:
    content = json.loads(file.read_text())
    content["folds"][0][section] = ids
    file.write_text(json.dumps(content))


def test_splits_read_back_as_they_were_made(file: Path) -> None:
    splits = read_splits(file, make_source())
    assert splits.folds == (FOLD,)
    assert splits.counts[0]["training"] == {"x": 2, "y": 2}
    assert splits.counts[0]["0.5"] == {"x": 1, "y": 1}
    assert splits.source["content_hash"] == "abc"
    assert splits.folds[0].section("0.5") == ("a", "e")
    assert splits.folds[0].section("test") == ("g", "h")


def test_splits_are_written_once(file: Path) -> None:
    before = file.read_bytes()
    Splits.of(make_source(), [FOLD], {"seed": 0}).save(file)
    with pytest.raises(SplitError, match="exists and holds another split"):
        Splits.of(make_source(), [FOLD], {"seed": 1}).save(file)
    assert file.read_bytes() == before


def test_a_source_that_has_changed_is_refused(file: Path) -> None:
    with pytest.raises(SplitError, match=r"labels.csv' with 8 items .* have changed"):
        read_splits(file, make_source(content_hash="abd"))


@pytest.mark.parametrize(
    ("section", "ids", "message"),
    [
        ("test", ["b", "g"], "1 of the same patient_id in training and test"),
        ("validation", ["b"], "1 of the same patient_id in training and validation"),
        ("test", ["g", "g"], "more than once in its section test"),
        ("test", ["g", "z"], r"has no items 'z' \(1 in all\)"),
        ("test", ["g"], "the file was edited"),
        ("reductions", {"0.5": ["a", "c"]}, "Reduction 0.5 of fold 0 is not part of"),
        ("reductions", {"0.5": ["a", "b"], "0.25": ["e"]}, "Reduction 0.25 of fold 0 is not part of"),
        ("reductions", {"2_per_class": ["a", "b"], "1_per_class": ["e"]}, "Reduction 1_per_class"),
        ("reductions", [], "no splits file, or is damaged"),
        ("test", None, "no splits file, or is damaged"),
    ],
)
def test_a_file_that_was_edited_is_refused(file: Path, section: str, ids: object, message: str) -> None:
    edit(file, section, ids)
    with pytest.raises(SplitError, match=message):
        read_splits(file, make_source())


NO_SPLITS = [
    "",
    "{}",
    "[]",
    '{"format": "monai_ext splits", "version": 1}',
    '"text"',
    "[" * 100_000,
    "\udcff",
    "1" * 5000,
]


@pytest.mark.parametrize("content", NO_SPLITS)
def test_a_file_that_holds_no_splits_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "splits.json").write_text(content, errors="surrogateescape")
    with pytest.raises(SplitError, match="is no splits file, or is damaged"):
        load_splits(tmp_path / "splits.json")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["version"], "1", "str where a number of items belongs"),
        (["version"], -1, "int where a number"),
        (["folds"], [], "0 folds, and counts of 1"),
        (["folds"], {"0": {}}, "dict where a list belongs"),
        (["folds", 0, "test"], ["g", 8], "int where text belongs"),
        (["folds", 0, "test"], "gh", "str where a list belongs"),
        (["folds", 0, "reductions"], {"half": ["a"]}, "a reduction or section 'half'"),
        (["folds", 0, "near_duplicates"], {"last": ["a"]}, "a reduction or section 'last'"),
        (["source", "content_hash"], None, "NoneType where text belongs"),
        (["source", "items"], 1e400, "float where a number of items belongs"),
        (["counts", 0, "test", "y"], True, "bool where a number of items belongs"),
        (["counts"], [{}, {}], "1 folds, and counts of 2"),
        (["made"], 3, "not iterable"),
    ],
)
def test_a_field_of_the_wrong_form_is_refused_with_the_reason(
    file: Path, path: list, value: object, reason: str
) -> None:
    content = json.loads(file.read_text())
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    file.write_text(json.dumps(content))
    with pytest.raises(SplitError, match=rf"is no splits file, or is damaged \(.*{reason}.*splits make"):
        read_splits(file, make_source())


def test_a_field_that_is_missing_is_named(file: Path) -> None:
    content = json.loads(file.read_text())
    del content["counts"]
    file.write_text(json.dumps(content))
    with pytest.raises(SplitError, match=r"damaged \(it has no 'counts'\)"):
        load_splits(file)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "splits.json")
    with pytest.raises(SplitError, match="cannot be read: it is no file"):
        load_splits(tmp_path / "splits.json")


def test_a_missing_file_and_a_newer_format_are_refused(file: Path) -> None:
    with pytest.raises(SplitError, match="cannot be read: No such file"):
        load_splits(file.with_name("other.json"))
    file.write_text(file.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(SplitError, match=r"version 2.*update monai_ext"):
        load_splits(file)


def test_a_section_that_is_not_there_is_refused() -> None:
    with pytest.raises(SplitError, match=r"no section 'train'; it has training, validation, test, 0.5"):
        FOLD.section("train")
