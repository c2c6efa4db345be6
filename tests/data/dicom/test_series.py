"""Series are grouped by what files say and ordered by where slices lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage, XRayRadiationDoseSRStorage

from helpers.dicom_files import ct_slice, enhanced_ct, ramp, uid, write, write_series
from monai_ext.data.dicom import find_series
from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.errors import DicomSeriesError


def only(folder: Path, **options: Any) -> Any:
    """The one series of a folder in which nothing is skipped."""
    index = find_series(folder, **options)
    assert not index.skipped
    assert len(index.series) == 1
    return index.series[0]


def test_slices_are_ordered_by_position_whatever_their_names_and_numbers(tmp_path: Path) -> None:
    for number, position in enumerate([5.0, -2.5, 2.5, 0.0]):
        write(ct_slice(position, InstanceNumber=number + 1), tmp_path / f"{number}.dcm")
    series = only(tmp_path)
    assert [image.position_mm for image in series.slices] == [-2.5, 0.0, 2.5, 5.0]
    assert [image.path.name for image in series.slices] == ["1.dcm", "3.dcm", "2.dcm", "0.dcm"]
    assert series.findings == ()


def test_position_is_measured_along_the_normal_of_tilted_slices(tmp_path: Path) -> None:
    cosine, sine = np.cos(np.deg2rad(18.5)), np.sin(np.deg2rad(18.5))
    for number in range(4):
        dataset = ct_slice(5.0 * number, ImageOrientationPatient=[1, 0, 0, 0, cosine, -sine])
        write(dataset, tmp_path / f"{number}.dcm")
    series = only(tmp_path)
    assert np.diff([image.position_mm for image in series.slices]) == pytest.approx(5 * cosine, abs=1e-4)
    assert series.gantry_tilt_deg == pytest.approx(18.5, abs=0.01)


def test_gantry_tilt_is_kept_with_its_sign(tmp_path: Path) -> None:
    write_series(tmp_path, GantryDetectorTilt=-12.5)
    assert only(tmp_path).gantry_tilt_deg == -12.5


def test_an_upright_series_has_no_tilt(tmp_path: Path) -> None:
    write_series(tmp_path)
    assert only(tmp_path).gantry_tilt_deg is None


def test_series_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path, slices=3, series="a")
    for number in range(2):
        write(ct_slice(number, series="b"), tmp_path / f"b{number}.dcm")
    assert sorted(len(series.slices) for series in find_series(tmp_path).series) == [2, 3]


def test_a_series_may_lie_in_several_folders(tmp_path: Path) -> None:
    write(ct_slice(0.0), tmp_path / "one" / "x")
    write(ct_slice(1.0), tmp_path / "two" / "x")
    assert len(only(tmp_path).slices) == 2


@pytest.mark.parametrize(
    "change",
    [{"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, {"values": ramp((8, 8))}],
    ids=["orientation", "shape"],
)
def test_one_series_uid_with_different_planes_makes_different_series(tmp_path: Path, change: dict[str, Any]) -> None:
    write_series(tmp_path)
    write(ct_slice(99.0, **change), tmp_path / "other.dcm")
    assert sorted(len(series.slices) for series in find_series(tmp_path).series) == [1, 4]


def test_orientations_that_differ_by_rounding_are_one(tmp_path: Path) -> None:
    write(ct_slice(0.0, ImageOrientationPatient=[1, 0, 0, 0, 0.99999, 0.0004]), tmp_path / "0")
    write(ct_slice(1.0, ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), tmp_path / "1")
    assert len(only(tmp_path).slices) == 2


def test_a_gap_is_reported_with_the_number_of_missing_slices(tmp_path: Path) -> None:
    for number in (0, 1, 2, 5, 6, 7):
        write(ct_slice(2.5 * number), tmp_path / f"{number}")
    (finding,) = only(tmp_path).findings
    assert finding.kind == "gap"
    assert finding.text == "2 slices are missing in 1 gaps"


def test_varying_spacing_is_reported_with_its_range(tmp_path: Path) -> None:
    for position in (0, 4, 8, 12, 19, 26, 33):
        write(ct_slice(position), tmp_path / f"{position}")
    (finding,) = only(tmp_path).findings
    assert finding.kind == "variable_spacing"
    assert "4 to 7 mm" in finding.text


def test_two_slices_at_one_position_are_both_kept_and_reported(tmp_path: Path) -> None:
    write_series(tmp_path, slices=3)
    write(ct_slice(2.5, SOPInstanceUID=uid("again")), tmp_path / "again")
    series = only(tmp_path)
    assert len(series.slices) == 4
    assert [finding.kind for finding in series.findings] == ["duplicate_positions"]


def test_lossy_compression_is_reported(tmp_path: Path) -> None:
    write_series(tmp_path, slices=3)
    write(ct_slice(7.5, LossyImageCompression="01"), tmp_path / "lossy")
    (finding,) = only(tmp_path).findings
    assert (finding.kind, finding.text) == ("lossy_compression", "1 slices were compressed with loss")


def test_a_copy_of_a_file_is_skipped(tmp_path: Path) -> None:
    first = write_series(tmp_path)[0]
    (tmp_path / "zz.dcm").write_bytes(first.read_bytes())
    index = find_series(tmp_path)
    assert [file.reason for file in index.skipped] == [SkipReason.DUPLICATE]
    assert len(index.series[0].slices) == 4


def test_frames_of_an_enhanced_object_are_slices_in_order_of_position(tmp_path: Path) -> None:
    write(enhanced_ct([5.0, 0.0, 2.5], values=np.zeros((3, 8, 6), np.uint16)), tmp_path / "x")
    series = only(tmp_path)
    assert [(image.frame, image.position_mm) for image in series.slices] == [(1, 0.0), (2, 2.5), (0, 5.0)]
    assert series.slices[0].row_spacing_mm == 0.7
    assert series.slices[0].column_spacing_mm == 0.8
    assert series.slices[0].slice_thickness_mm == 2.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, SkipReason.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR", "MIP"]}, SkipReason.PROJECTION),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, SkipReason.SECONDARY_CAPTURE),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, SkipReason.SECONDARY_CAPTURE),
        ({"SOPClassUID": XRayRadiationDoseSRStorage, "PixelData": None}, SkipReason.DOSE_REPORT),
        ({"SOPClassUID": EncapsulatedPDFStorage, "PixelData": None}, SkipReason.NO_PIXELS),
        ({"PixelData": None}, SkipReason.NO_PIXELS),
        ({"BurnedInAnnotation": "YES"}, SkipReason.BURNED_IN),
        ({"Modality": "PT"}, SkipReason.OTHER_MODALITY),
        ({"Modality": None}, SkipReason.OTHER_MODALITY),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, SkipReason.OTHER_OBJECT),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, SkipReason.NOT_GRAYSCALE),
        ({"SeriesInstanceUID": None}, SkipReason.NO_IDENTIFIERS),
        ({"SOPInstanceUID": None}, SkipReason.NO_IDENTIFIERS),
        ({"ImagePositionPatient": None}, SkipReason.NO_GEOMETRY),
        ({"ImageOrientationPatient": None}, SkipReason.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, SkipReason.NO_GEOMETRY),
        ({"Rows": 60000}, SkipReason.IMPLAUSIBLE_SIZE),
        ({"Rows": 0}, SkipReason.PIXEL_FORMAT),
        ({"NumberOfFrames": 3}, SkipReason.NO_GEOMETRY),
    ],
)
def test_objects_that_are_no_slices_are_skipped_with_a_reason(
    tmp_path: Path, change: dict[str, Any], reason: SkipReason
) -> None:
    write(ct_slice(**change), tmp_path / "x")
    index = find_series(tmp_path)
    assert not index.series
    assert [file.reason for file in index.skipped] == [reason]


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut.dcm").write_bytes(bytes(128) + b"DICM\x02\x00")
    index = find_series(tmp_path)
    assert sum(len(series.slices) for series in index.series) + len(index.skipped) == 7
    assert {file.path.name for file in index.skipped} == {"notes.txt", "empty", "cut.dcm"}


def test_mr_is_found_only_when_it_is_asked_for(tmp_path: Path) -> None:
    write(ct_slice(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), tmp_path / "x")
    assert not find_series(tmp_path).series
    assert only(tmp_path, modalities=("MR",)).modality == "MR"


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    dataset = ct_slice()
    dataset.save_as(tmp_path / "old", implicit_vr=True, little_endian=True)
    assert (tmp_path / "old").read_bytes()[128:132] != b"DICM"
    assert len(only(tmp_path).slices) == 1


def test_identities_are_not_shown(tmp_path: Path) -> None:
    write_series(tmp_path, PatientID="SECRET-4711")
    shown = repr(find_series(tmp_path))
    assert "SECRET" not in shown
    assert uid("series", "a") not in shown


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DicomSeriesError, match="cannot be listed: No such file"):
        find_series(tmp_path / "missing")


def test_the_real_ge_series_is_whole_and_its_spacing_reported(shared_data: Path) -> None:
    index = find_series(shared_data / "dicom_ct" / "ge_head_tilt_variable_spacing")
    (series,) = index.series
    assert len(series.slices) == 28
    assert series.gantry_tilt_deg == 18.5
    assert [finding.kind for finding in series.findings] == ["variable_spacing"]
    assert not index.skipped


def test_the_real_philips_study_gives_one_series_and_reasons(shared_data: Path) -> None:
    index = find_series(shared_data / "dicom_ct" / "philips_phantom")
    assert [len(series.slices) for series in index.series] == [16]
    assert sorted(file.reason.value for file in index.skipped) == [
        "dicomdir",
        "localizer",
        "secondary_capture",
        "secondary_capture",
    ]
