"""DICOM folders as slices."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pydicom
import pytest

from helpers.slice_files import write_series
from monai_ext.data.sources.dicom import DicomSource
from monai_ext.errors import DatasetError


def _source(folder: Path) -> DicomSource:
    return DicomSource(folder, sorted(file for file in folder.rglob("*") if file.is_file()))


def _change(folder: Path, **elements: str) -> None:
    for file in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)


def test_slices_come_in_hounsfield_units(tmp_path: Path) -> None:
    source = _source(write_series(tmp_path, value=-850))
    assert len(source) == 3
    np.testing.assert_array_equal(source.read(1), np.full((16, 16), -850, dtype=np.float32))


def test_slices_are_grouped_by_patient(tmp_path: Path) -> None:
    write_series(tmp_path / "a", number=1)
    write_series(tmp_path / "b", number=2)
    source = _source(tmp_path)
    assert source.grouped_by == "patient"
    assert len(set(source.groups)) == 2


@pytest.mark.parametrize(
    ("same", "grouped_by"),
    [({"PatientID": "ANON"}, "study"), ({"PatientID": "", "StudyInstanceUID": "1.2.3"}, "series")],
)
def test_a_patient_id_that_tells_nobody_apart_gives_way_to_the_study_then_the_series(
    tmp_path: Path, same: dict[str, str], grouped_by: str
) -> None:
    write_series(tmp_path / "a", number=1)
    write_series(tmp_path / "b", number=2)
    _change(tmp_path, **same)
    source = _source(tmp_path)
    assert source.grouped_by == grouped_by
    assert len(set(source.groups)) == 2


def test_nothing_that_is_told_names_the_patient(tmp_path: Path) -> None:
    write_series(tmp_path)
    _change(tmp_path, PatientID="Doe-1234", PatientName="Doe^John", StudyInstanceUID="1.2.3.4.5.6.7")
    source = _source(tmp_path)
    description = f"{source.describe()} {source.groups}"
    assert not any(word in description for word in ("Doe", "1234", "John", "1.2.3.4"))


def test_what_is_no_slice_is_counted_by_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "scout", slices=1, number=9)
    _change(tmp_path / "scout", ImageType="ORIGINAL\\PRIMARY\\LOCALIZER")
    with caplog.at_level("INFO"):
        source = _source(tmp_path)
    assert len(source) == 3
    assert source.describe()["skipped_files"] == {"localizer": 1}
    assert "1 because it is a localizer" in caplog.text


def test_a_folder_without_ct_says_what_is_there(tmp_path: Path) -> None:
    write_series(tmp_path)
    _change(tmp_path, ImageType="ORIGINAL\\PRIMARY\\LOCALIZER")
    with pytest.raises(DatasetError, match=r"no CT slice.*3 because it is a localizer.*Give a folder with a CT"):
        _source(tmp_path)


def test_mr_alone_is_told_where_it_can_be_used(tmp_path: Path) -> None:
    write_series(tmp_path)
    _change(tmp_path, Modality="MR")
    with pytest.raises(DatasetError, match=r"its modality was not asked for.*MR is used from a slice store.*--kind mr"):
        _source(tmp_path)


def test_only_the_files_asked_for_are_used(tmp_path: Path) -> None:
    write_series(tmp_path)
    assert len(DicomSource(tmp_path, [tmp_path / "slice_002.dcm"])) == 1


def test_a_large_folder_is_announced_with_a_quicker_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monai_ext.data.sources.dicom._MANY_FILES", 3)
    with caplog.at_level("INFO"):
        _source(write_series(tmp_path))
    assert "Looking through 3 DICOM files" in caplog.text
    assert "monai_ext ingest" in caplog.text


def test_a_slice_that_lost_its_pixels_since_is_named(tmp_path: Path) -> None:
    source = _source(write_series(tmp_path))
    file = tmp_path / "slice_002.dcm"
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(DatasetError, match=r"slice_002\.dcm"):
        source.read(1)


def test_it_can_be_handed_to_another_process(tmp_path: Path) -> None:
    source = _source(write_series(tmp_path, value=7))
    source.read(0)
    assert (pickle.loads(pickle.dumps(source)).read(2) == 7).all()


def test_real_series_are_found_and_the_rest_is_accounted_for(shared_data: Path) -> None:
    description = _source(shared_data / "dicom_ct").describe()
    assert description["series"] == 2
    assert description["skipped_files"]["localizer"] == 1
    assert description["skipped_files"]["secondary_capture"] == 2
