"""Volumes become slices of a store, each that does not with a reason of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from helpers.slice_files import write_volume
from helpers.volume_files import FORMATS, change_header, ct_values, write_itk
from monai_ext.data.ingestion.ingest import IngestReport, ingest, list_skipped
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError

COLUMNS = ["position_mm", "row_spacing_mm", "column_spacing_mm", "slice_spacing_mm", "rows", "columns"]


def run(source: Path) -> tuple[IngestReport, SliceStore]:
    report = ingest(source, source.parent / "store", workers=1)
    return report, SliceStore(source.parent / "store")


def skipped(source: Path) -> dict[str, tuple[str, str]]:
    ingest(source, source.parent / "store", workers=1)
    listed = list_skipped(source, source.parent / "store")
    return {name: (reason.value, detail) for name, reason, detail in listed}


def test_all_formats_give_the_slices_and_places_of_nifti(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_itk(source / "a.nii.gz", ct_values())
    for number, (file, compressed) in enumerate(FORMATS.values()):
        write_itk(source / str(number) / file, ct_values(), compressed=compressed)
    report, store = run(source)
    assert (report.stored, dict(report.skipped)) == (7, {"raw_values": 3})
    index = store.index
    assert index.groupby("source_format").size().to_dict() == {"metaimage": 12, "nifti": 4, "nrrd": 12}
    (reference,) = (rows for name, rows in index.groupby("source_format") if name == "nifti")
    for _, rows in index.groupby("series_id"):
        np.testing.assert_allclose(rows[COLUMNS], reference[COLUMNS], atol=1e-4)
        for here, there in zip(rows.index, reference.index, strict=True):
            np.testing.assert_array_equal(store.read(here), store.read(there))


def test_whether_the_file_says_that_it_is_in_hounsfield_units_is_kept(tmp_path: Path) -> None:
    write_itk(tmp_path / "source" / "a.mha", ct_values())
    declared = write_itk(tmp_path / "source" / "b.mha", ct_values() + 1)
    change_header(declared, "NDims", "Modality = MET_MOD_CT\nNDims")
    _, store = run(tmp_path / "source")
    assert sorted(origin["unit"] for origin in store.provenance) == ["HU-as-declared", "HU-assumed"]


def test_every_reason_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    values = np.random.default_rng(0).integers(-1000, 500, (6, 5, 4)).astype(np.float32)
    write_volume(source / "ct.nii.gz", values.astype(np.int16))
    for name, number in (("nan", np.nan), ("infinite", -np.inf)):
        wrong = values.copy()
        wrong[1, 2, 3] = number
        write_volume(source / f"{name}.nii", wrong)
        write_itk(source / f"{name}.mha", wrong)
    for name in ("cut.nii", "cut.nii.gz"):
        write_volume(source / name, values)
        (source / name).write_bytes((source / name).read_bytes()[:-60])
    change_header(write_itk(source / "cut.mhd", ct_values()), "DimSize = 6 5 4", "DimSize = 6 5 9")
    write_volume(source / "labels.nii", np.ones((4, 4, 4), np.int16))
    write_volume(source / "unsigned.nii", np.ones((4, 4, 4), np.uint8))
    write_volume(source / "series.nii", np.zeros((2, 2, 2, 5), np.int16))
    change_header(write_itk(source / "mr.mha", ct_values()), "NDims", "Modality = MET_MOD_MR\nNDims")
    (source / "notes.nii").write_text("nothing")
    assert {name: reason for name, (reason, _) in skipped(source).items()} == {
        "cut.mhd": "cut_pixels",
        "cut.nii": "cut_pixels",
        "cut.nii.gz": "cut_pixels",
        "cut.raw": "raw_values",
        "infinite.mha": "not_finite",
        "infinite.nii": "not_finite",
        "labels.nii": "label_map",
        "mr.mha": "other_modality",
        "nan.mha": "not_finite",
        "nan.nii": "not_finite",
        "notes.nii": "damaged",
        "series.nii": "not_a_volume",
        "unsigned.nii": "label_map",
    }


def test_the_detail_says_where_a_value_is_no_number(tmp_path: Path) -> None:
    wrong = np.full((3, 3, 3), -1.0, np.float32)
    wrong[0, 0, 2] = np.nan
    write_volume(tmp_path / "source" / "nan.nii", wrong)
    write_volume(tmp_path / "source" / "ct.nii", np.full((3, 3, 3), -1, np.int16))
    assert skipped(tmp_path / "source") == {"nan.nii": ("not_finite", "1 pixels of axial slice 2")}


def test_changed_values_are_read_again_when_their_header_is_written_again(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "source" / "a.mhd", ct_values())
    assert run(tmp_path / "source")[0].new_slices == 4
    write_itk(path, ct_values() + 1)
    assert run(tmp_path / "source")[0].new_slices == 4
    path.touch()
    assert run(tmp_path / "source")[0].new_slices == 0


def test_a_lone_header_is_explained(tmp_path: Path) -> None:
    write_itk(tmp_path / "source" / "a.mhd", ct_values())
    (tmp_path / "source" / "a.raw").unlink()
    with pytest.raises(DatasetError, match="cut_pixels"):
        run(tmp_path / "source")


def test_slope_and_intercept_of_nifti_are_applied(tmp_path: Path) -> None:
    image: Any = nibabel.Nifti1Image(np.full((2, 2, 2), 24, dtype=np.uint16), np.eye(4))
    image.header.set_slope_inter(1, -1024)
    (tmp_path / "source").mkdir()
    nibabel.save(image, tmp_path / "source" / "a.nii")
    assert (run(tmp_path / "source")[1].read(0) == -1000).all()
