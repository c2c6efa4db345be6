"""Phantoms as DICOM files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from monai_ext.data.dicom import find_series, read_hounsfield
from monai_ext.data.phantoms import PhantomSeries, phantom_series
from monai_ext.data.phantoms.dicom import write_dicom_series


@pytest.fixture(scope="module")
def series() -> PhantomSeries:
    return phantom_series("thorax", seed=1, slices=3, size=24, kernel="LUNG")


def test_our_own_reader_gives_the_same_hounsfield_units_and_positions(tmp_path: Path, series: PhantomSeries) -> None:
    write_dicom_series(series, tmp_path, number=1)
    index = find_series(tmp_path)
    assert not index.skipped
    (found,) = index.series
    assert not found.findings
    np.testing.assert_array_equal(np.stack([read_hounsfield(image) for image in found.slices]), series.hounsfield)
    assert [image.position_mm for image in found.slices] == pytest.approx(series.slice_positions_mm, abs=1e-3)


def test_the_first_pixels_position_follows_from_the_pictures_middle(tmp_path: Path, series: PhantomSeries) -> None:
    write_dicom_series(series, tmp_path, number=1)
    image = pydicom.dcmread(tmp_path / "slice_001.dcm")
    middle = [origin + 11.5 * series.pixel_spacing_mm for origin in image.ImagePositionPatient[:2]]
    assert middle == pytest.approx(series.center_mm, abs=1e-3)


def test_files_are_ct_images_without_identity(tmp_path: Path, series: PhantomSeries) -> None:
    write_dicom_series(series, tmp_path, number=1)
    image = pydicom.dcmread(tmp_path / "slice_002.dcm")
    assert image.SOPClassUID == pydicom.uid.CTImageStorage
    assert (image.RescaleIntercept, image.ConvolutionKernel, image.BodyPartExamined) == (-1024, "LUNG", "CHEST")
    assert not any((image.PatientName, image.PatientBirthDate, image.StudyDate, image.AccessionNumber))


def test_the_same_series_is_the_same_bytes_and_patients_differ(tmp_path: Path, series: PhantomSeries) -> None:
    for name, number in (("a", 1), ("b", 1), ("c", 2)):
        write_dicom_series(series, tmp_path / name, number=number)
    first, again, other = ((tmp_path / name / "slice_001.dcm").read_bytes() for name in "abc")
    assert first == again != other
