"""Files that claim too much, or begin strangely, are refused without being believed."""

from __future__ import annotations

import logging
import os
import warnings
import zlib
from pathlib import Path

import pytest
from pydicom import config
from pydicom.uid import DeflatedExplicitVRLittleEndian

from helpers.dicom_files import ct_slice, write
from monai_ext.data.dicom import find_series, header, read_hounsfield
from monai_ext.data.dicom.header import has_dicom_mark, quiet_pydicom, read_header, read_whole
from monai_ext.data.dicom.refusals import Refusal, SkipReason


def test_a_deflated_file_is_read(tmp_path: Path) -> None:
    write(ct_slice(), tmp_path / "x.dcm", transfer_syntax=DeflatedExplicitVRLittleEndian)
    (series,) = find_series(tmp_path).series
    assert read_hounsfield(series.slices[0])[0, 0] == -24


def test_a_deflate_bomb_is_refused_without_being_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "LARGEST_INFLATED_BYTES", 2**20)
    path = write(ct_slice(), tmp_path / "x.dcm", transfer_syntax=DeflatedExplicitVRLittleEndian)
    whole = path.read_bytes()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = whole.index(DeflatedExplicitVRLittleEndian.encode()) + len(DeflatedExplicitVRLittleEndian)
    path.write_bytes(whole[:start] + deflater.compress(bytes(2**24)) + deflater.flush())
    with pytest.raises(Refusal) as raised:
        read_header(path)
    assert raised.value.reason is SkipReason.IMPLAUSIBLE_SIZE


def test_a_damaged_deflated_file_is_refused(tmp_path: Path) -> None:
    path = write(ct_slice(), tmp_path / "x.dcm", transfer_syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(100))
    with pytest.raises(Refusal):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG" + bytes(200), b"\x08\x00", bytes(500)])
def test_files_that_do_not_begin_like_dicom_are_not_parsed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Refusal) as raised:
        read_header(tmp_path / "x")
    assert raised.value.reason is SkipReason.NOT_DICOM


def test_pixels_are_not_read_with_the_header(tmp_path: Path) -> None:
    path = write(ct_slice(), tmp_path / "x.dcm")
    found = read_header(path)
    assert found.pixel_keyword == "PixelData"
    assert "PixelData" not in found.dataset


def test_pydicom_is_silent_and_then_as_before() -> None:
    logger = logging.getLogger("pydicom")
    before = logger.level, config.settings.reading_validation_mode
    with quiet_pydicom(), quiet_pydicom():
        assert not logger.isEnabledFor(logging.CRITICAL)
        with warnings.catch_warnings(record=True) as caught:
            ct_slice(PatientBirthDate="SECRET")
        assert not caught
    assert (logger.level, config.settings.reading_validation_mode) == before


def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert not has_dicom_mark(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file, but a folder, pipe"):
        read_header(tmp_path / "pipe")
    index = find_series(tmp_path)
    assert [(file.path.name, file.reason) for file in index.skipped] == [
        ("pipe", SkipReason.UNREADABLE),
        ("zero", SkipReason.UNREADABLE),
    ]


@pytest.mark.filterwarnings("ignore:The PN component length")
def test_an_element_that_is_larger_than_headers_have_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(ct_slice(PatientName="x" * 5000), tmp_path / "x.dcm")
    read_header(path)
    monkeypatch.setattr(header, "LARGEST_ELEMENT_BYTES", 4096)
    with pytest.raises(Refusal, match="an element before its pixels is larger"):
        read_header(path)


def test_a_file_that_would_have_to_be_read_whole_is_refused_when_it_is_huge(tmp_path: Path) -> None:
    path = write(ct_slice(), tmp_path / "x.dcm")
    os.truncate(path, header.LARGEST_WHOLE_BYTES + 1)  # a hole: it takes no room
    assert read_header(path).pixel_keyword == "PixelData"
    with pytest.raises(Refusal, match="larger than 4 GiB"):
        read_whole(path)
