"""A disk that is really full: every writer says so, leaves nothing half-written, and goes on when there is room.

A small file system in memory is mounted for it, which only the superuser of a machine may do.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.dicom_files import ct_slice, write
from helpers.fake_records import write_fake_study
from helpers.labelled_pictures import write_labelled_pictures
from helpers.small_training import SmallPainter, same_weights, small_trainer, weights
from helpers.trained_bundle import write_trained_bundle
from monai_ext.cli import main
from monai_ext.data.ingestion.ingest import ingest
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import ReportedError
from monai_ext.handlers import EncoderExporter, ModelPublisher, TrainingCheckpoint
from monai_ext.handlers.classification_files import PICTURES, TABLES, write_classification_files
from monai_ext.metrics import evaluate_classification
from monai_ext.networks import build_encoder
from monai_ext.networks.weights import read_model
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.infer import answer_folder, write_answers
from monai_ext.sharing.pack import PackOptions, pack_bundle
from monai_ext.sharing.trained_classifier import read_trained_classifier
from monai_ext.study.records import StudyFolder
from monai_ext.study.report import write_report
from monai_ext.torch_files import read_torch_file
from monai_ext.tracking import MLflowTracker

_MIB = 2**20


@dataclass
class SmallDisk:
    """A file system of 128 MiB."""

    path: Path

    def leave(self, free: int) -> None:
        """Fill it up to so many bytes."""
        self.make_room()
        statistics = shutil.disk_usage(self.path)
        with open(self.path / "filler", "wb") as file:
            piece = bytes(4096)
            for _ in range(max(0, statistics.free - free) // len(piece)):
                file.write(piece)

    def make_room(self) -> None:
        (self.path / "filler").unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    ) if shutil.which("mount") else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip("no file system can be mounted here, which needs the superuser")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def refused() -> Iterator[pytest.ExceptionInfo[Exception]]:
    """An error that says what is wrong with the disk: a sentence of ours, or one that commands turn into a sentence."""
    with pytest.raises((ReportedError, OSError)) as error:
        yield error
    if isinstance(error.value, ReportedError):
        assert any(words in str(error.value) for words in ("No space left on device", "the disk is full"))
    else:
        assert error.value.errno == errno.ENOSPC


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"filler"}


def test_a_store_is_continued_to_the_same_content(disk: SmallDisk, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for series in range(6):
        for number in range(2):
            values = noise.integers(0, 4096, (64, 64)).astype(np.uint16)
            write(ct_slice(2.5 * number, values=values, series=str(series)), tmp_path / f"source/{series}_{number}.dcm")
    key = tmp_path / "pseudonym.key"
    ingest(tmp_path / "source", tmp_path / "reference", workers=1, key_file=key)
    store = disk.path / "store"
    for free in (0, 8192, 65536, 98304, 131072):
        disk.leave(free)
        with refused():
            ingest(tmp_path / "source", store, workers=1, key_file=key)
        disk.make_room()
        if (store / "slice_store.json").exists():
            opened = SliceStore(store)
            for index in range(len(opened)):
                opened.read(index)
    report = ingest(tmp_path / "source", store, workers=1, key_file=key)
    assert (report.files, report.stored) == (12, 12)
    assert SliceStore(store).content_hash == SliceStore(tmp_path / "reference").content_hash
    assert main(["store", "verify", str(store)]) == 0


def test_splits_are_there_completely_or_not_at_all(
    disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_labelled_pictures(tmp_path / "data") / "labels.csv"
    command = ["splits", "make", str(table), "--official", "--output", str(disk.path / "splits.json")]
    disk.leave(0)
    assert main(command) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert names(disk.path) == set()
    disk.make_room()
    assert main(command) == 0
    assert json.loads((disk.path / "splits.json").read_text())["version"]


@pytest.mark.parametrize("free", [0, 4096, 16384])
def test_a_training_stops_with_a_sentence_and_is_resumed(disk: SmallDisk, tmp_path: Path, free: int) -> None:
    def training(folder: Path, *also: Any) -> Any:
        handlers = [
            TrainingCheckpoint(folder, every_iterations=2, resume=folder if any(folder.glob("*.pt")) else None),
            EncoderExporter(str(folder), metadata={"method": "SparK"}),
            *also,
        ]
        torch.manual_seed(0)
        return small_trainer(handlers, network=SmallPainter())

    def fill(engine: Any) -> None:
        if engine.state.iteration == 5:
            disk.leave(free)

    class Filler:
        def attach(self, engine: Any) -> None:
            from ignite.engine import Events

            engine.add_event_handler(Events.ITERATION_STARTED, fill)

    calm = training(tmp_path / "calm")
    calm.run()
    folder = disk.path / "run"
    with refused():
        training(folder, Filler()).run()
    disk.make_room()
    resumed = training(folder)
    resumed.run()
    assert same_weights(weights(resumed), weights(calm))
    assert not [name for name in names(folder) if "partial" in name]
    stored = [torch.load(path / "encoder.pt", weights_only=True)["state_dict"] for path in (folder, tmp_path / "calm")]
    assert same_weights(*stored)


@pytest.mark.parametrize("free", [0, 4096, 28672])
def test_a_model_is_published_completely_or_not_at_all_and_again_when_there_is_room(
    disk: SmallDisk, tmp_path: Path, free: int
) -> None:
    """The run's folder lies on another disk, which has room, so that only what is published meets the full one."""
    models, run = disk.path / "models", tmp_path / "run"

    def training() -> Any:
        publisher = ModelPublisher(str(disk.path), metadata={"image_size": 16})
        checkpoints = TrainingCheckpoint(run, resume=run if run.exists() else None)
        handlers = [checkpoints, EncoderExporter(str(run), metadata={"method": "SparK"}), publisher]
        return small_trainer(handlers, network=SmallPainter(width=32))

    disk.leave(free)
    with refused() as error:
        training().run()
    assert "was not published" in str(error.value)
    for name in names(models):  # whole, though weights without what they are of may lie there
        json.loads((models / name).read_text()) if name.endswith(".json") else read_torch_file(models / name)
    disk.make_room()
    resumed = training()
    resumed.run()
    assert names(models) == {"model.pt", "model.json", "encoder.pt"}
    assert same_weights(read_model(models / "model.pt"), weights(resumed))
    assert (models / "encoder.pt").read_bytes() == (run / "encoder.pt").read_bytes()


@pytest.mark.parametrize("free", [0, 8192])
def test_tables_and_pictures_of_results_are_there_completely_or_not_at_all(disk: SmallDisk, free: int) -> None:
    right = np.random.default_rng(0).uniform(0.2, 0.9, 40)
    evaluation = evaluate_classification(
        np.stack([1 - right, right], axis=1), [0, 1] * 20, class_names=["a", "b"], positive_class="b", n_bootstrap=0
    )
    disk.leave(free)
    with refused():
        write_classification_files(disk.path / "results", evaluation)
    assert not any("partial" in name for name in names(disk.path))
    half = {name: (disk.path / name).read_bytes() for name in names(disk.path)}
    disk.make_room()
    write_classification_files(disk.path / "results", evaluation)
    assert names(disk.path) == {f"results/{name}" for name in [*TABLES, *(f"{name}.png" for name in PICTURES)]}
    assert half == {name: (disk.path / name).read_bytes() for name in half}


def test_records_and_report_of_a_study(disk: SmallDisk) -> None:
    separations = {"scratch": 0.8, "SparK": 1.6}
    disk.leave(65536)
    with refused():
        write_fake_study(disk.path / "study", separations, folds=2)
    left = [json.loads(path.read_text()) for path in (disk.path / "study" / "records").glob("*.json")]
    disk.make_room()
    study = write_fake_study(disk.path / "study", separations, folds=2)
    assert len(study.names()) > len(left)
    disk.leave(16384)
    with refused():
        write_report(study)
    half = names(study.report) if study.report.exists() else set()
    disk.make_room()
    files = write_report(StudyFolder(disk.path / "study"))
    assert names(study.report) == {file.name for file in files} >= half


def test_a_package_is_there_completely_or_not_at_all(disk: SmallDisk, tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path)
    for free in (0, 65536, 4 * _MIB):
        disk.leave(free)
        with refused():
            pack_bundle(bundle, disk.path / "package.zip", PackOptions())
        assert names(disk.path) == set()
    disk.make_room()
    pack_bundle(bundle, disk.path / "package.zip", PackOptions())
    with zipfile.ZipFile(disk.path / "package.zip") as package:
        assert package.testzip() is None


@pytest.mark.parametrize("free", [0, 4096])
def test_answers_are_there_completely_or_not_at_all(disk: SmallDisk, tmp_path: Path, free: int) -> None:
    values = np.random.default_rng(0).integers(0, 2000, (48, 40)).astype(np.uint16)
    for number in range(3):
        write(ct_slice(2.5 * number, values=values), tmp_path / "source" / f"{number}.dcm")
    model = read_trained_classifier(open_bundle_files(write_trained_bundle(tmp_path)))
    answers = answer_folder(model, tmp_path / "source")
    disk.leave(free)
    with refused():
        write_answers(answers, disk.path / "answers", source=tmp_path / "source")
    assert names(disk.path) == set()
    disk.make_room()
    write_answers(answers, disk.path / "answers", source=tmp_path / "source")
    assert "answers/series.csv" in names(disk.path)


def test_features_of_images(disk: SmallDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_labelled_pictures(tmp_path / "data")
    metadata = {"monai_ext_version": "0", "method": "SparK", "image_size": 32, "window": "full"}
    torch.save({"state_dict": build_encoder("resnet18").state_dict(), "metadata": metadata}, tmp_path / "encoder.pt")
    command = ["embed", str(tmp_path / "encoder.pt"), str(data / "labels.csv"), str(disk.path / "out"), "--map", "none"]
    disk.leave(4096)
    assert main([*command, "--num-workers", "0"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert names(disk.path) == set()
    disk.make_room()
    assert main([*command, "--num-workers", "0"]) == 0


@pytest.mark.parametrize(("free", "reason"), [(0, "No space left on device"), (8192, "full")])
def test_tracking_neither_stops_a_training_nor_keeps_quiet(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, free: int, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{disk.path}/mlflow.db")
    disk.leave(free)
    with caplog.at_level(logging.WARNING):
        trainer = small_trainer([MLflowTracker("full", output_dir=str(disk.path / "run"))])
        trainer.run()
    assert trainer.state.iteration == 14
    assert "does not answer" in caplog.text
    assert reason in caplog.text.replace(str(disk.path), "")
    disk.make_room()
    small_trainer([MLflowTracker("full", output_dir=str(disk.path / "run"))]).run()
