"""What the privacy report says about a slice store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.slice_stores import make_store, pixels_of, rows_of
from monai_ext.data.store.format import INDEX_COLUMNS
from monai_ext.data.store.privacy_report import make_privacy_report, render_privacy_report
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    path = make_store(tmp_path / "store", ("series-a1",))
    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        writer.add_series("series-b2", pixels_of("series-b2"), rows_of("series-b2", kernel="B30f"), {"files": 3})
    return SliceStore(path)


def test_every_column_is_listed_with_meaning_reason_and_content(store: SliceStore) -> None:
    report = make_privacy_report(store)
    columns = {column["name"]: column for column in report["columns"]}
    assert list(columns) == list(INDEX_COLUMNS)
    assert all(column["meaning"] and column["reason"] for column in columns.values())
    assert columns["patient_id"]["content"] == "2 different pseudonyms"
    assert columns["position_mm"]["content"] == "0 to 5"
    assert columns["kernel"]["content"] == "B30f (3), in 3 of 6 slices"
    assert columns["site"]["content"] == "empty"
    assert report["provenance"] == {"files": "3 (2)"}
    json.dumps(report)


def test_files_that_do_not_belong_are_pointed_out(store: SliceStore) -> None:
    assert make_privacy_report(store)["foreign_files"] == []
    (store.path / "series" / "list of patients.csv").write_text("Doe")
    (store.path / "notes.txt").write_text("Doe")
    report = make_privacy_report(store)
    assert report["foreign_files"] == ["notes.txt", "series/list of patients.csv"]
    assert "FILES THAT DO NOT BELONG" in render_privacy_report(report)


def test_the_text_says_what_is_kept_what_is_not_and_what_to_be_careful_about(store: SliceStore) -> None:
    text = render_privacy_report(make_privacy_report(store))
    assert "6 slices (ct) in 2 series of 2 patients" in text
    assert "patient_id           keyed hash of the patient; kept for: splits are made by patient" in text
    for heading in ("Not kept:", "What remains to be careful about:"):
        assert heading in text
