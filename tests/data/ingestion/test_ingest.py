"""From folders to stores: everything is stored once or skipped with a reason, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset

from helpers.dicom_files import ct_slice, enhanced_ct, ramp, uid, write, write_series
from monai_ext.data.dicom import find_series, read_hounsfield
from monai_ext.data.ingestion.ingest import (
    IngestFilter,
    IngestOptions,
    IngestReport,
    ingest,
    ledger_folder,
    list_skipped,
)
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import SliceStoreError


def run(source: Path, **arguments: Any) -> tuple[IngestReport, SliceStore]:
    """Ingest into ``store`` beside the source with one worker."""
    store = source.parent / "store"
    report = ingest(source, store, **{"workers": 1} | arguments)
    opened = SliceStore(store)
    assert len(opened) == report.slices
    return report, opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two series of two patients, a localizer, and a note."""
    folder = tmp_path / "source"
    write_series(folder / "one", slices=4, series="a")
    write_series(folder / "two" / "deep", slices=3, series="b")
    write(ct_slice(0.0, series="c", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder / "two" / "scout")
    (folder / "notes.txt").write_text("a note")
    return folder


def test_every_file_is_stored_or_has_a_reason(source: Path) -> None:
    report, store = run(source)
    assert (report.files, report.stored, dict(report.skipped)) == (9, 7, {"localizer": 1, "not_dicom": 1})
    assert (report.series, report.slices) == (2, 7)
    assert len(set(store.index["patient_id"])) == 2


def test_stored_values_are_hounsfield_units_in_order_of_position(source: Path) -> None:
    _, store = run(source)
    expected = {len(series.slices): series for series in find_series(source).series}
    for rows in (store.index[store.index["series_id"] == series] for series in store.series_ids):
        slices = expected[len(rows)].slices
        assert rows["position_mm"].tolist() == [image.position_mm for image in slices]
        for index, image in zip(rows.index, slices, strict=True):
            np.testing.assert_array_equal(store.read(index), read_hounsfield(image))


def test_the_index_has_geometry_and_codes(source: Path) -> None:
    _, store = run(source, options=IngestOptions(site="site-A"))
    row = store.index.iloc[0]
    columns = ("row_spacing_mm", "column_spacing_mm", "slice_spacing_mm", "slice_thickness_mm", "kernel", "modality")
    assert [row[name] for name in columns] == [0.7, 0.8, 2.5, 2.5, "B30F", "CT"]
    assert (row["body_part"], row["source_format"], row["site"]) == ("CHEST", "dicom", "site-A")


def test_an_unchanged_source_is_not_read_again(source: Path) -> None:
    first, store = run(source)
    before = store.content_hash
    second, store = run(source)
    assert (second.looked_at, second.new_slices) == (0, 0)
    assert (second.stored, second.skipped) == (first.stored, first.skipped)
    assert store.content_hash == before


def test_new_studies_are_added(source: Path) -> None:
    run(source)
    write_series(source / "three", slices=5, series="new")
    report, store = run(source)
    assert (report.looked_at, report.new_slices, len(store)) == (5, 5, 12)


def test_slices_that_arrive_late_are_added_and_none_is_stored_twice(tmp_path: Path) -> None:
    late = [path.rename(tmp_path / path.name) for path in write_series(tmp_path / "source", slices=6)[3:]]
    run(tmp_path / "source")
    for path in late:
        path.rename(tmp_path / "source" / path.name)
    report, store = run(tmp_path / "source")
    assert (report.new_slices, report.stored, report.skipped.total()) == (3, 6, 0)
    assert sorted(store.index["position_mm"]) == [0.0, 2.5, 5.0, 7.5, 10.0, 12.5]
    assert len(set(store.index["patient_id"])) == 1


def test_a_copy_of_a_study_is_not_stored_again(source: Path) -> None:
    run(source)
    shutil.copytree(source / "one", source / "copy")
    report, store = run(source)
    assert (report.new_slices, report.skipped["duplicate"], len(store)) == (0, 4, 7)


def test_files_with_another_date_are_not_stored_again(source: Path) -> None:
    run(source)
    for path in (source / "one").iterdir():
        os.utime(path, ns=(1, 1))
    report, store = run(source)
    assert (report.looked_at, report.new_slices, len(store)) == (4, 0, 7)
    assert report.files == 9


def test_the_same_object_in_two_series_is_no_reason_to_stop(tmp_path: Path) -> None:
    for series in ("a", "b"):
        write(ct_slice(series=series, SOPInstanceUID="1.2.3"), tmp_path / "source" / series)
    report, _ = run(tmp_path / "source")
    assert report.slices == 2


def test_one_key_gives_one_pseudonym_across_stores(source: Path) -> None:
    first = set(run(source)[1].index["patient_id"])
    shutil.rmtree(source.parent / "store")
    shutil.rmtree(ledger_folder(source.parent / "store"))
    assert set(run(source)[1].index["patient_id"]) == first


def test_frames_of_one_object_in_two_orientations_are_two_series(tmp_path: Path) -> None:
    dataset = enhanced_ct([0.0, 1.0, 2.0], values=np.stack([ramp()] * 3))
    plane = Dataset()
    plane.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    dataset.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [plane]
    write(dataset, tmp_path / "source" / "x")
    report, store = run(tmp_path / "source")
    assert sorted(store.shapes[:, 0]) == [1, 2]
    assert (report.stored, run(tmp_path / "source")[0].looked_at) == (1, 0)


def test_a_series_larger_than_the_memory_is_stored_in_parts(tmp_path: Path) -> None:
    for number in range(5):
        write(ct_slice(float(number), values=ramp((512, 512), start=0)), tmp_path / "source" / f"{number}")
    report, store = run(tmp_path / "source", options=IngestOptions(largest_part_bytes=2**20))
    assert (report.stored, report.new_series) == (5, 3)
    assert sorted(provenance["part"] for provenance in store.provenance) == [1, 2, 3]
    assert sorted(store.index["position_mm"]) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_an_object_larger_than_the_memory_is_skipped(tmp_path: Path) -> None:
    write(enhanced_ct([0.0, 1.0, 2.0], values=np.stack([ramp((512, 512), start=0)] * 3)), tmp_path / "source" / "x")
    write_series(tmp_path / "source")
    report, _ = run(tmp_path / "source", options=IngestOptions(largest_part_bytes=2**20))
    assert dict(report.skipped) == {"too_large": 1}


def test_a_slice_that_cannot_be_decoded_is_left_out_and_its_gap_reported(tmp_path: Path) -> None:
    for number in range(6):
        change = {"RescaleSlope": None} if number == 2 else {}
        write(ct_slice(2.5 * number, **change), tmp_path / "source" / f"{number}")
    report, store = run(tmp_path / "source")
    assert (dict(report.skipped), dict(report.findings)) == ({"no_rescale": 1}, {"gap": 1})
    assert store.index["slice_spacing_mm"].tolist() == [2.5, 5.0, 2.5, 2.5, 2.5]


def test_resampling_keeps_the_field_of_view_and_is_recorded(tmp_path: Path) -> None:
    write(ct_slice(values=ramp((64, 48), start=0)), tmp_path / "source" / "x")
    _, store = run(tmp_path / "source", options=IngestOptions(in_plane=24))
    assert store.read(0).shape == (32, 24)
    row = store.index.iloc[0]
    assert (row["row_spacing_mm"], row["column_spacing_mm"]) == (1.4, 1.6)
    assert store.provenance[0]["in_plane"] == 24
    assert store.provenance[0]["original_rows"] == 64
    with pytest.raises(SliceStoreError, match="made with in_plane = 24, and now it is null"):
        run(tmp_path / "source")


def test_values_beyond_sixteen_bits_are_clipped_and_counted(tmp_path: Path) -> None:
    values = np.array([[0, 60000]], np.uint16)
    write(ct_slice(values=values), tmp_path / "source" / "x")
    _, store = run(tmp_path / "source")
    assert store.read(0).tolist() == [[-1024, 32767]]
    assert store.provenance[0]["clipped_pixels"] == 1


@pytest.mark.parametrize(
    ("entries", "stored"),
    [
        ({"body_part": ["HEAD"]}, 2),
        ({"kernel": ["b30f"]}, 4),
        ({"slice_thickness_mm": [0.5, 1.5]}, 2),
        ({"least_slices": 3}, 4),
    ],
)
def test_a_filter_chooses_series(tmp_path: Path, entries: dict[str, Any], stored: int) -> None:
    write_series(tmp_path / "source" / "a", series="a")
    change = {"BodyPartExamined": "HEAD", "ConvolutionKernel": "H60s", "SliceThickness": 1.0}
    write_series(tmp_path / "source" / "b", series="b", slices=2, **change)
    report, _ = run(tmp_path / "source", options=IngestOptions(wanted=IngestFilter.from_dict(entries)))
    assert (report.stored, report.skipped["filtered"]) == (stored, 6 - stored)


def test_with_another_filter_files_are_looked_at_again(tmp_path: Path) -> None:
    write_series(tmp_path / "source" / "a", series="a")
    write_series(tmp_path / "source" / "b", series="b", BodyPartExamined="HEAD")
    for parts, expected in ((["HEAD"], (8, 4)), (["HEAD"], (0, 0)), (["HEAD", "CHEST"], (4, 4))):
        options = IngestOptions(wanted=IngestFilter.from_dict({"body_part": parts}))
        report, _ = run(tmp_path / "source", options=options)
        assert (report.looked_at, report.new_slices) == expected


def test_volumes_are_stored_beside_dicom_and_label_maps_are_not(tmp_path: Path) -> None:
    write_series(tmp_path / "source" / "dicom")
    values = np.random.default_rng(0).integers(-1000, 500, (6, 5, 4)).astype(np.int16)
    affine = np.diag([-0.5, -0.6, 3.0, 1.0])
    affine[2, 3] = -20.0
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "source" / "ct.nii.gz")
    nibabel.save(nibabel.Nifti1Image((values > 0).astype(np.int16), affine), tmp_path / "source" / "mask.nii")
    report, store = run(tmp_path / "source")
    assert dict(report.skipped) == {"label_map": 1}
    rows = store.index[store.index["source_format"] == "nifti"]
    assert rows["position_mm"].tolist() == [-20.0, -17.0, -14.0, -11.0]
    assert (rows["row_spacing_mm"].iloc[0], rows["column_spacing_mm"].iloc[0]) == pytest.approx((0.6, 0.5))
    np.testing.assert_array_equal(store.read(rows.index[1]), values[:, :, 1].T)


def test_pictures_of_one_shape_are_stored_together_with_a_patient_each(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for number in range(3):
        Image.fromarray(np.full((20, 16), 50 * number, np.uint8)).save(tmp_path / "source" / f"scan{number}_1.png")
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(tmp_path / "source" / "scan0_2.png")
    (tmp_path / "source" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    report, store = run(tmp_path / "source", options=IngestOptions(patient_by="name:(scan[0-9])_"))
    assert (store.source_kind, sorted(store.shapes[:, 0]), dict(report.skipped)) == ("picture", [1, 3], {"damaged": 1})
    assert sorted(int(store.read(index)[0, 0]) for index in range(4)) == [0, 50, 77, 100]
    assert len(set(store.index["patient_id"])) == 3
    assert run(tmp_path / "source", options=IngestOptions(patient_by="name:(scan[0-9])_"))[0].looked_at == 0


def test_pictures_beside_dicom_are_skipped(tmp_path: Path) -> None:
    write_series(tmp_path / "source")
    Image.fromarray(ramp((8, 8), dtype=np.uint8)).save(tmp_path / "source" / "preview.jpg")
    assert dict(run(tmp_path / "source")[0].skipped) == {"other_kind": 1}


def test_odd_entries_of_a_folder_are_accounted_for(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_series(source)
    (source / "loop").symlink_to(source, target_is_directory=True)
    (source / "nowhere").symlink_to(source / "missing")
    (source / "self").symlink_to(source / "self")
    (source / ".hidden").write_text("x")
    (source / "nothing.dcm").touch()
    shutil.make_archive(str(tmp_path / "packed"), "zip", source, "nothing.dcm")
    (tmp_path / "packed.zip").rename(source / "study.zip")
    shutil.copy(source / "study.zip", source / "study")
    os.mkfifo(source / "pipe")
    report, _ = run(source)
    expected = {"link_loop": 1, "broken_link": 2, "hidden": 1, "empty": 1, "archive": 2, "special_file": 1}
    assert dict(report.skipped) == expected
    assert report.stored == 4


def test_names_with_bytes_that_are_no_utf_8_are_read(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "source") + b"/M\xfcller"
    write_series(Path(os.fsdecode(folder)))
    (Path(os.fsdecode(folder)) / os.fsdecode(b"\xff\xfe")).write_text("x" * 200)
    report, _ = run(tmp_path / "source")
    assert (report.stored, dict(report.skipped)) == (4, {"not_dicom": 1})
    (skipped,) = list_skipped(tmp_path / "source", tmp_path / "store")
    assert skipped[0].encode(errors="surrogateescape") == b"M\xfcller/\xff\xfe"


def test_skipped_files_are_named_to_whoever_has_the_key(source: Path) -> None:
    run(source)
    named = {name: reason.value for name, reason, _ in list_skipped(source, source.parent / "store")}
    assert named == {"notes.txt": "not_dicom", "two/scout": "localizer"}
    (source.parent / "other.key").write_text("ab" * 32)
    (source.parent / "other.key").chmod(0o600)
    with pytest.raises(SliceStoreError, match="another key for pseudonyms"):
        next(list_skipped(source, source.parent / "store", key_file=source.parent / "other.key"))


def test_an_archive_of_ct_beside_radiographs_gives_the_ct(tmp_path: Path) -> None:
    """The layout of LIDC-IDRI: patient, study, series; CT with annotations, DX and CR in studies of their own."""
    source = tmp_path / "source"
    for patient in range(3):
        change = {"PatientID": f"LIDC-IDRI-{patient:04d}", "PixelPaddingValue": 0, "ImageType": ["ORIGINAL", "PRIMARY"]}
        folder = source / change["PatientID"]
        series = folder / uid("study", patient) / uid("series", patient)
        write_series(series, slices=3 + patient, series=f"ct{patient}", **change)
        (series / "068.xml").write_text("<LidcReadMessage/>")
        for modality, sop_class in (("DX", "1.2.840.10008.5.1.4.1.1.1.1"), ("CR", "1.2.840.10008.5.1.4.1.1.1")):
            radiograph = ct_slice(series=f"{modality}{patient}", Modality=modality, SOPClassUID=sop_class, **change)
            write(radiograph, folder / uid(modality, patient) / "1" / "000000.dcm")
    report, store = run(source)
    assert dict(report.skipped) == {"not_dicom": 3, "other_modality": 6}
    assert sorted(store.shapes[:, 0]) == [3, 4, 5]
    assert len(set(store.index["patient_id"])) == 3


def test_the_report_is_saved_without_names(source: Path) -> None:
    run(source)
    text = (ledger_folder(source.parent / "store") / "report.json").read_text()
    assert json.loads(text)["skipped"] == {"localizer": 1, "not_dicom": 1}
    assert "notes" not in text


def test_the_real_series_are_stored_as_they_are(shared_data: Path, tmp_path: Path) -> None:
    report = ingest(shared_data / "dicom_ct", tmp_path / "store", workers=2)
    assert (report.series, report.slices, report.stored) == (2, 44, 44)
    assert report.skipped == {"localizer": 1, "secondary_capture": 2, "dicomdir": 1, "not_dicom": 3}
    assert report.findings == {"variable_spacing": 1}
    store = SliceStore(tmp_path / "store")
    assert sorted(set(store.index["gantry_tilt_deg"])) == [-18.5, 18.5]
    assert set(store.index["body_part"]) == {"HEAD", "BRAIN"}
    assert uid("series", "a") not in str(store.index)
