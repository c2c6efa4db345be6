"""Options are checked before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_ext.data.ingestion.options import IngestFilter, IngestOptions
from monai_ext.errors import DatasetError


def test_a_filter_is_read_from_json(tmp_path: Path) -> None:
    entries = {"body_part": ["chest", "LUNG"], "slice_thickness_mm": [0.5, 3], "kernel": "b30f", "least_slices": 20}
    (tmp_path / "filter.json").write_text(json.dumps(entries))
    wanted = IngestFilter.load(tmp_path / "filter.json")
    assert (wanted.body_part, wanted.kernel) == (("CHEST", "LUNG"), ("B30F",))
    assert (wanted.slice_thickness_mm, wanted.least_slices, wanted.modality) == ((0.5, 3.0), 20, ("CT",))
    assert wanted.fingerprint != IngestFilter().fingerprint


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"bodypart": ["CHEST"]}, "no entry 'bodypart'.*Did you mean 'body_part'"),
        ({"body_part": [7]}, "'body_part' is a list of texts"),
        ({"slice_thickness_mm": 3}, "is \\[thinnest, thickest\\]"),
        ({"slice_thickness_mm": [3, 1]}, "is \\[thinnest, thickest\\]"),
        ({"least_slices": True}, "a whole number from 1"),
        ({"modality": ["CT", "MR"]}, "a store holds one of them"),
        ({"modality": ["PT"]}, "a store holds one of them"),
    ],
)
def test_a_wrong_filter_is_refused(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    (tmp_path / "filter.json").write_text(json.dumps(entries))
    with pytest.raises(DatasetError, match=f"(?s)filter.json cannot be used.*{message}"):
        IngestFilter.load(tmp_path / "filter.json")


@pytest.mark.parametrize(("content", "message"), [("[1]", "holds list"), ("{", "cannot be read")])
def test_a_file_that_is_no_filter_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "filter.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        IngestFilter.load(tmp_path / "filter.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_plane": 4}, "at least 16 pixels"),
        ({"site": "Hospital of Mr. Smith"}, "name no person"),
        ({"site": "19380508"}, "name no person"),
        ({"patient_by": "name"}, "'name:REGEX' are possible"),
        ({"patient_by": "name:scan_"}, "needs a group"),
        ({"patient_by": "name:("}, "no regular expression"),
        ({"file_timeout_s": 0}, "must be positive"),
        ({"largest_part_bytes": 10}, "at least 1 MiB"),
    ],
)
def test_wrong_options_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        IngestOptions(**arguments)


@pytest.mark.parametrize(
    ("patient_by", "patient"),
    [
        ("auto", None),
        ("study", None),
        ("folder", "a"),
        ("file", "a/b/luna_12_3.png"),
        ("name:luna_([0-9]+)_", "12"),
        ("name:other_([0-9]+)_", "a/b/luna_12_3.png"),
    ],
)
def test_the_patient_is_taken_from_the_path_where_asked_for(patient_by: str, patient: str | None) -> None:
    assert IngestOptions(patient_by=patient_by).patient_from_name("a/b/luna_12_3.png") == patient
