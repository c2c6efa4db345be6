"""Listing takes every file once, whatever links and names there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.source_files import list_source


def listed(folder: Path, **options: tuple[Path, ...]) -> dict[str, str | SkipReason]:
    return {file.name: file.reason or file.kind for file in list_source(folder, **options)}


def test_names_say_the_kind(tmp_path: Path) -> None:
    for name in ("IM0001", "a.dcm", "b.NII.GZ", "c.nii", "d.PNG", "e.tar.gz"):
        (tmp_path / name).write_text("x")
    assert listed(tmp_path) == {
        "IM0001": "dicom",
        "a.dcm": "dicom",
        "b.NII.GZ": "volume",
        "c.nii": "volume",
        "d.PNG": "picture",
        "e.tar.gz": SkipReason.ARCHIVE,
    }


def test_folders_are_walked_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/c/3", "d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert list(listed(tmp_path)) == ["d", "a/c/3", "b/1", "b/2"]


def test_a_folder_that_is_linked_twice_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("x")
    (tmp_path / "source").mkdir()
    for name in ("first", "second"):
        (tmp_path / "source" / name).symlink_to(tmp_path / "real")
    assert listed(tmp_path / "source") == {"first/x": "dicom", "second": SkipReason.LINK_LOOP}


def test_folders_can_be_left_out(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    assert listed(tmp_path, apart_from=(tmp_path / "out", tmp_path / "missing")) == {"in/x": "dicom"}


def test_hidden_folders_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "x").write_text("x")
    assert listed(tmp_path) == {".trash": SkipReason.HIDDEN}


def test_a_folder_that_cannot_be_listed_counts_as_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "x").write_text("x")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert listed(tmp_path) == {"x": "dicom", "locked": SkipReason.UNREADABLE}


def test_a_single_file_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_text("x")
    assert listed(tmp_path / "scan.nii") == {"scan.nii": "volume"}


def test_values_beside_a_header_are_no_files_of_their_own(tmp_path: Path) -> None:
    for name in ("both/a.mhd", "both/a.raw", "both/b.nhdr", "both/b.raw.gz", "alone/a.raw", "c.mha", "d.NRRD"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert listed(tmp_path) == {
        "alone/a.raw": "dicom",
        "both/a.mhd": "volume",
        "both/a.raw": SkipReason.RAW_VALUES,
        "both/b.nhdr": "volume",
        "both/b.raw.gz": SkipReason.RAW_VALUES,
        "c.mha": "volume",
        "d.NRRD": "volume",
    }
