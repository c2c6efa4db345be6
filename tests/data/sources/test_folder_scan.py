"""What a folder holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from helpers.slice_files import write_pictures, write_series, write_volume
from monai_ext.data.sources.folder_scan import scan_folder
from monai_ext.errors import DatasetError


def test_nested_pictures_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_pictures(tmp_path / "b" / "c", count=1)
    write_pictures(tmp_path / "a", count=2)
    scan = scan_folder(tmp_path)
    assert scan.kind == "pictures"
    assert [file.relative_to(tmp_path).as_posix() for file in scan.files] == ["a/000.png", "a/001.png", "b/c/000.png"]


def test_tables_notes_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=1)
    write_pictures(tmp_path / ".thumbnails", count=1)
    (tmp_path / "labels.csv").write_text("file,label\n")
    (tmp_path / "README").write_text("notes")
    (tmp_path / "._000.png").write_bytes(b"")
    assert len(scan_folder(tmp_path).files) == 1


def test_dicom_is_known_by_its_mark_when_the_name_says_nothing(tmp_path: Path) -> None:
    write_series(tmp_path, slices=2)
    (tmp_path / "slice_001.dcm").rename(tmp_path / "I10")
    (tmp_path / "slice_002.dcm").rename(tmp_path / "1.2.840.1")
    scan = scan_folder(tmp_path)
    assert (scan.kind, len(scan.files)) == ("DICOM", 2)


def test_files_without_any_mark_are_offered_as_dicom_when_there_is_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "I10").write_bytes(b"\x08\x00\x05\x00")
    assert scan_folder(tmp_path).kind == "DICOM"


def test_a_single_file_is_a_folder_of_one(tmp_path: Path) -> None:
    file = write_volume(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), dtype=np.int16))
    write_volume(tmp_path / "b.nii.gz", np.zeros((2, 2, 2), dtype=np.int16))
    scan = scan_folder(file)
    assert (scan.kind, scan.root, scan.files) == ("NIfTI", tmp_path, (file,))


def test_what_is_no_file_is_passed_over_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path, count=1)
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.png").symlink_to(tmp_path)
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert [file.name for file in scan_folder(tmp_path).files] == ["000.png"]
    assert "5 entries of" in caplog.text
    assert "such as gone.png: they are pipes" in caplog.text


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "there", count=1)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.png").symlink_to(tmp_path / "there" / "000.png")
    assert [file.name for file in scan_folder(tmp_path / "here").files] == ["a.png"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match="There is no image in"):
        scan_folder(tmp_path)


def test_several_kinds_in_one_folder_are_refused_with_their_counts(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", count=2)
    write_series(tmp_path / "ct", slices=3)
    with pytest.raises(DatasetError, match=r"2 pictures \(as pictures/000\.png\), 3 DICOM \(as ct/slice_001\.dcm\)"):
        scan_folder(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with pytest.raises(DatasetError, match="closed cannot be read: Permission denied"):
        scan_folder(tmp_path)
