"""Records are sealed: what was edited, renamed or is damaged is refused."""

import json

import pytest

from monai_ext.errors import StudyError
from monai_ext.study.cells import Cell
from monai_ext.study.records import read_record, write_record

CELL = Cell("probe", "scratch", "CT", "0.1", 0, 0, 0, {"seed": 0, "size": "0.1"})


@pytest.fixture
def path(tmp_path):
    return write_record(tmp_path, CELL, results={"metrics": {"auc": 0.5}}, measured={"seconds": 1.0})


def test_a_record_is_read_as_it_was_written(path):
    record = read_record(path)
    assert record.name == CELL.name == path.stem
    assert record.cell["method"] == "scratch"
    assert record.results == {"metrics": {"auc": 0.5}}


def test_a_record_that_was_edited_is_refused(path):
    content = json.loads(path.read_text())
    content["results"]["metrics"]["auc"] = 0.99
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError, match="was edited after it was written"):
        read_record(path)


def test_a_record_under_another_name_is_refused(path):
    moved = path.rename(path.with_name(f"{'0' * 32}.json"))
    with pytest.raises(StudyError, match="it was renamed"):
        read_record(moved)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "something"}'])
def test_what_is_no_record_is_refused(path, text):
    path.write_text(text)
    with pytest.raises(StudyError, match="damaged"):
        read_record(path)


def test_the_name_depends_on_every_input_and_on_no_path():
    other = Cell(**{**CELL.to_json(), "inputs": {"seed": 1, "size": "0.1"}})
    elsewhere = Cell(**{**CELL.to_json(), "paths": {"dataset_dir": "/other"}})
    assert other.name != CELL.name
    assert elsewhere.name == CELL.name
