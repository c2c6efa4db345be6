"""Checkpoints, pictures, logs and the MLflow database of a training from a store hold no identity."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from monai.bundle import run

from helpers.bundle_files import PRETRAINING, config_files, tiny_training
from helpers.dicom_files import ramp, write
from helpers.planted_identities import Planter, assert_nothing_leaked, planted_slice, unchecked_values
from monai_ext.data.ingestion.ingest import ingest

PATIENTS = 4


@pytest.fixture
def planter(tmp_path: Path) -> Planter:
    """Identities of four patients, whose two slices each are in ``tmp_path/store``."""
    planter = Planter()
    with unchecked_values():
        for patient in range(PATIENTS):
            series, name = planter.uid(), planter.text()
            for position in range(2):
                dataset = planted_slice(planter, position, series=series, every=1 if patient == 0 else 25)
                dataset.Rows = dataset.Columns = 64
                dataset.PixelData = ramp((64, 64), start=500 * patient).tobytes()
                dataset.PatientID = name
                write(dataset, tmp_path / "source" / name / f"{planter.text()}.dcm")
    report = ingest(tmp_path / "source", tmp_path / "store", workers=1, key_file=tmp_path / "pseudonym.key")
    assert report.slices == 2 * PATIENTS
    return planter


@pytest.mark.parametrize("bundle", PRETRAINING, ids=lambda bundle: bundle.name)
def test_no_identity_reaches_checkpoints_pictures_logs_or_mlflow(
    planter: Planter,
    bundle: Path,
    tmp_path: Path,
    from_root: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/tracked/mlflow.db")
    (tmp_path / "tracked").mkdir()
    shutil.copy(empty_database, tmp_path / "tracked" / "mlflow.db")
    with caplog.at_level(logging.DEBUG):
        run(
            config_file=config_files(from_root / "bundles" / bundle.name, "smoke"),
            logging_file=False,
            bundle_root=str(tmp_path / "root"),
            dataset_dir=str(tmp_path / "store"),
            **tiny_training(bundle),
        )
    printed = capfd.readouterr()
    files = [path for name in ("root", "tracked") for path in (tmp_path / name).rglob("*") if path.is_file()]
    endings = {path.suffix for path in files}
    assert {".pt", ".png", ".db"} <= endings
    assert b"slice store" in (tmp_path / "tracked" / "mlflow.db").read_bytes()
    assert_nothing_leaked(
        planter,
        [printed.out.encode(), printed.err.encode(), caplog.text.encode()]
        + [part for path in files for part in (str(path).encode(), path.read_bytes())],
    )
