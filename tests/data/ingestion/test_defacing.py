"""Defacing: the face goes, the brain stays, and what cannot be told is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.dicom_files import ct_slice, write
from monai_ext.data.dicom.refusals import Refusal
from monai_ext.data.ingestion.defacing import DEFACED, NO_HEAD, deface
from monai_ext.data.ingestion.ingest import IngestOptions, ingest
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError, SliceStoreError

SPACING_MM, SLICE_MM = 2.0, 6.0
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(slices, rows, columns) in HU, masks of brain and of face: a skull whose lower half goes on in a face.

    Front at the first row, feet first; a nose stands out of the face, eyes lie in it below the front of the brain.
    """
    z, y, x = np.meshgrid(np.arange(40) * SLICE_MM, *[np.arange(128) * SPACING_MM] * 2, indexing="ij")
    radius = np.sqrt(((x - 128) / 70) ** 2 + ((y - 138) / 85) ** 2 + ((z - 150) / 70) ** 2)
    volume = np.full(z.shape, -1000, np.int16)
    face = (np.abs(x - 128) < 55) & (y > 60) & (y < 190) & (z < 120)
    nose = (np.abs(x - 128) < 10) & (y > 35) & (y <= 60) & (z > 50) & (z < 90)
    volume[face | nose | (radius < 1.15)] = 40
    volume[(radius >= 1.0) & (radius < 1.1)] = 900
    brain = radius < 1.0
    volume[brain] = 35
    return volume, brain, (face | nose) & (radius > 1.3)


def run(volume: np.ndarray, *, orientation: tuple[float, ...] = AXIAL, body_part: str | None = "HEAD") -> str:
    positions = SLICE_MM * np.arange(len(volume))
    return deface(
        volume,
        positions_mm=positions,
        spacing_mm=(SPACING_MM, SPACING_MM),
        orientation=orientation,
        body_part=body_part,
    )


def test_the_face_becomes_air_and_the_brain_stays_as_it_is() -> None:
    volume, brain, face = head()
    before = volume.copy()
    assert run(volume) == DEFACED
    np.testing.assert_array_equal(volume[brain], before[brain])
    rows_mm = np.arange(128)[None, :, None] * SPACING_MM
    below_the_brain, nose = face[:13] & (rows_mm < 80), face & (rows_mm <= 60)
    assert below_the_brain.sum() > 5000
    assert nose.sum() > 500
    assert (volume[:13][below_the_brain] == -1000).all()
    assert (volume[nose] == -1000).all()
    changed = volume != before
    assert (volume[changed] == -1000).all()
    assert not changed[30:].any()  # above the front of the brain


@pytest.mark.parametrize("flips", [(0, 1), (0, 2), (1, 2)])
def test_it_does_not_matter_how_the_slices_are_stored(flips: tuple[int, ...]) -> None:
    expected = head()[0]
    run(expected)
    volume = np.ascontiguousarray(np.flip(head()[0], flips))
    across, down = (-1.0 if axis in flips else 1.0 for axis in (2, 1))
    up = -1.0 if 0 in flips else 1.0
    assert across * down == up  # positions rise along the normal
    assert run(volume, orientation=(across, 0, 0, 0, down, 0)) == DEFACED
    np.testing.assert_array_equal(np.flip(volume, flips), expected)


def test_where_no_brain_is_the_body_part_decides() -> None:
    volume = np.full((10, 128, 128), -1000, np.int16)
    volume[:, 30:90, 30:90] = 40
    before = volume.copy()
    assert run(volume, body_part="CHEST") == NO_HEAD
    np.testing.assert_array_equal(volume, before)
    for body_part in (None, "HEAD", "PARANASALSINUS"):
        with pytest.raises(Refusal, match=r"may show a face.*no brain was found"):
            run(volume, body_part=body_part)


def test_slices_that_are_not_axial_or_without_spacing_are_refused() -> None:
    with pytest.raises(Refusal, match="not axial"):
        run(head()[0], orientation=(0, 1, 0, 0, 0, -1))
    with pytest.raises(Refusal, match=r"Pixel Spacing \(0028,0030\) is missing"):
        deface(head()[0], positions_mm=[], spacing_mm=(None, 1.0), orientation=AXIAL, body_part="HEAD")


def test_a_store_notes_what_was_done_and_stays_with_it(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    affine = np.diag([SPACING_MM, SPACING_MM, SLICE_MM, 1.0])
    volume = head()[0]
    data = volume.transpose(2, 1, 0)[::-1, ::-1]  # right, front, up
    nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / "source" / "head.nii")
    label = np.full((128, 128, 4), -1000, np.int16)
    nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / "source" / "air.nii")
    report = ingest(tmp_path / "source", tmp_path / "store", options=IngestOptions(deface=True), workers=1)
    assert (report.stored, dict(report.skipped)) == (1, {"not_defaced": 1})
    store = SliceStore(tmp_path / "store")
    assert store.provenance[0]["deface"] == DEFACED
    expected = volume.copy()
    run(expected)
    np.testing.assert_array_equal(np.stack([store.read(number) for number in range(len(store))]), expected)
    with pytest.raises(SliceStoreError, match="was made with deface = true, and now it is false"):
        ingest(tmp_path / "source", tmp_path / "store", workers=1)


def test_only_ct_is_defaced(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DatasetError, match="store of kind 'picture': leave defacing out"):
        ingest(tmp_path, tmp_path / "store", options=IngestOptions(deface=True), source_kind="picture")


def test_of_dicom_what_may_show_a_face_is_skipped_and_other_parts_of_the_body_are_stored(tmp_path: Path) -> None:
    volume = head()[0]
    stored = (volume.astype(np.int32) + 1024).astype(np.uint16)
    common = {"PixelSpacing": [SPACING_MM, SPACING_MM]}
    for number, values in enumerate(stored):
        changes = {"series": "head", "BodyPartExamined": "HEAD", **common}
        write(ct_slice(number * SLICE_MM, values=values, **changes), tmp_path / "source" / "head" / f"{number}")
    for series, body_part in (("chest", "CHEST"), ("sinus", "PARANASALSINUS"), ("unknown", "")):
        for number in range(2):
            changes = {"series": series, "BodyPartExamined": body_part, **common}
            write(ct_slice(number * SLICE_MM, **changes), tmp_path / "source" / series / f"{number}")
    options = IngestOptions(deface=True, in_plane=96)
    report = ingest(tmp_path / "source", tmp_path / "store", options=options, workers=1)
    assert (report.stored, dict(report.skipped)) == (42, {"not_defaced": 4})
    store = SliceStore(tmp_path / "store")
    assert sorted(made["deface"] for made in store.provenance) == [NO_HEAD, DEFACED]
    (number,) = [number for number, made in enumerate(store.provenance) if made["deface"] == DEFACED]
    assert (store.read_of_series(number, 0)[:30] == -1000).all()
    assert (store.read_of_series(number, 30)[:40] > -1000).any()
