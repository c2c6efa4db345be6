"""A tree of LIDC-IDRI's shape: ingested, split by patient, and opened for training.

LIDC-IDRI has 1,018 CT scans of 1,010 patients, beside CR and DX images of some of them, in folders
``PATIENT/DATE-NA-NA-STUDY/SERIES/1-001.dcm``; a few patients have two CT scans.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from helpers.dicom_files import ct_slice, ramp, uid, write
from monai_ext.data import SliceImages, open_slices, slice_loader
from monai_ext.data.ingestion.ingest import IngestReport, ingest
from monai_ext.data.sampling import StreamSampler
from monai_ext.data.sources.open import open_source
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import make_splits
from monai_ext.data.splits.splits import read_splits
from monai_ext.data.store.reader import SliceStore

PATIENTS, SLICES = 10, 3
TWO_SCANS = (2, 7)
XRAYS = {1: ("DX", DigitalXRayImageStorageForPresentation), 4: ("CR", ComputedRadiographyImageStorage)}


def write_tree(folder: Path) -> None:
    """Ten patients, two of them with two CT scans, two with X-rays of another study."""
    for number in range(PATIENTS):
        patient = f"LIDC-IDRI-{number + 1:04d}"
        for scan in range(1 + (number in TWO_SCANS)):
            place = folder / patient / f"01-01-2000-NA-NA-{30000 + number}" / f"300056{scan}.000000-NA-0319{scan}"
            for position in range(SLICES):
                image = ct_slice(
                    2.5 * position,
                    series=f"{patient} {scan}",
                    values=ramp((24, 24), start=900 + 40 * number + position),
                    PatientID=patient,
                    StudyInstanceUID=uid(patient),
                )
                write(image, place / f"1-{position + 1:03d}.dcm")
        if number in XRAYS:
            modality, sop_class = XRAYS[number]
            xray = ct_slice(0.0, series=f"{patient} x", PatientID=patient, Modality=modality, SOPClassUID=sop_class)
            write(xray, folder / patient / "01-01-2000-NA-NA-26379" / "3000923.000000-NA-62357" / "1-001.dcm")


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IngestReport:
    monkeypatch.setenv("MONAI_EXT_KEY", str(tmp_path / "pseudonym.key"))
    write_tree(tmp_path / "LIDC-IDRI")
    return ingest(tmp_path / "LIDC-IDRI", tmp_path / "store", workers=1)


def test_ct_is_stored_and_x_rays_are_accounted_for(report: IngestReport, tmp_path: Path) -> None:
    scans = PATIENTS + len(TWO_SCANS)
    assert (report.series, report.slices, sum(report.skipped.values())) == (scans, scans * SLICES, len(XRAYS))
    store = SliceStore(tmp_path / "store")
    assert set(store.index.modality) == {"CT"}
    assert store.index.patient_id.nunique() == PATIENTS
    assert (store.index.groupby("patient_id").series_id.nunique() == 2).sum() == len(TWO_SCANS)


@pytest.mark.usefixtures("report")
def test_splits_keep_both_scans_of_a_patient_together(tmp_path: Path) -> None:
    source = open_split_source(tmp_path / "store")
    made = make_splits(source, test_fraction=0.2, validation_fraction=0.2, reduce_fractions=[0.5])
    made.save(tmp_path / "splits.json")
    (fold,) = read_splits(tmp_path / "splits.json", source).folds
    training = SliceImages(open_source(tmp_path / "store"), indices=source.positions(fold.training), load_size=16)
    test = {source.groups[place] for place in source.positions(fold.test)}
    assert not test & set(training.groups)
    assert len(training) == len(fold.training)


@pytest.mark.usefixtures("report")
def test_a_store_is_opened_like_any_folder_and_gives_what_the_folder_gives(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("store", "LIDC-IDRI")}
    store, dicom = (open_slices(folder, section="all", image_size=16) for folder in folders.values())
    assert len(store) == len(dicom)
    from_store, from_dicom = (
        sorted(float(dataset[item].sum(dtype=torch.float64)) for item in range(len(dataset)))
        for dataset in (store, dicom)
    )
    np.testing.assert_allclose(from_store, from_dicom, atol=1e-9)


@pytest.mark.usefixtures("report")
def test_batches_for_training_come_from_a_store(tmp_path: Path) -> None:
    training = open_slices(tmp_path / "store", image_size=16, window=[[40, 400], [-600, 1500]], channels=2)
    validation = open_slices(tmp_path / "store", section="validation", image_size=16, window=[40, 400], channels=1)
    assert not set(training.groups) & set(validation.groups)
    loader = slice_loader(training, sampler=StreamSampler(training, seed=0), batch_size=4, num_workers=0)
    batch = next(iter(loader))
    assert batch.shape == (4, 2, 19, 19)
    assert batch.dtype == torch.float32
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1
