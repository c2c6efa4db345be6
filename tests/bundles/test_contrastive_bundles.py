"""The bundles of BYOL, MoCo v2 and SwAV at work, with a tiny encoder and a dozen pictures."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, run
from monai.networks.nets import ResNet

from helpers.bundle_files import REPOSITORY, config_files, tiny_model, tiny_training, without_tracking
from helpers.tiny_resnet import TINY_RESNET

METHODS = ("byol", "moco_v2", "swav")


def run_bundle(bundle: Path, name: str, **overrides: Any) -> None:
    run(config_file=config_files(bundle, name), logging_file=False, **without_tracking(bundle, name), **overrides)


def runs(bundle: Path) -> list[Path]:
    return sorted(path for path in (bundle / "models").iterdir() if path.is_dir())


@pytest.fixture(scope="module", params=METHODS)
def trained(request: pytest.FixtureRequest, checkout: Path, pictures: str) -> Iterator[tuple[str, Path]]:
    """The method and its bundle after a training that was started from the repository's root."""
    method = request.param
    bundle = Path(f"bundles/{method}_pretrain")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(checkout)
        run_bundle(bundle, "smoke", dataset_dir=pictures, **tiny_training(method))
        yield method, checkout / bundle


def test_a_training_leaves_checkpoints_views_and_the_published_model(trained):
    _, bundle = trained
    (folder,) = runs(bundle)
    names = {file.name for file in folder.iterdir()}
    assert {"best.pt", "checkpoint_00000006.pt", "encoder.pt"} <= names
    assert [name for name in names if name.endswith(".png")]
    assert {file.name for file in (bundle / "models").iterdir()} == {folder.name, "model.pt", "encoder.pt"}


def test_the_exported_encoder_is_the_plain_backbone(trained):
    _, bundle = trained
    content = torch.load(bundle / "models" / "encoder.pt", weights_only=True)
    options = {key: value for key, value in TINY_RESNET.items() if key != "_target_"}
    ResNet(**{**options, "n_input_channels": 1}).load_state_dict(content["state_dict"])
    assert content["metadata"]["images_seen"] == 24


def test_evaluation_writes_the_loss_and_the_signals_with_the_models_settings(trained, pictures, tmp_path):
    method, bundle = trained
    run_bundle(bundle, "evaluate", **tiny_model(method), dataset_dir=pictures, output_dir=str(tmp_path))
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["same_data_as_training"] is True
    assert content["metrics"]["val_loss"] >= 0


def test_inference_writes_features(trained, pictures, tmp_path):
    method, bundle = trained
    run_bundle(bundle, "inference", **tiny_model(method), dataset_dir=pictures, output_dir=str(tmp_path), batch_size=5)
    content = np.load(tmp_path / "features.npz")
    assert content["features"].shape == (12, 32)
    assert np.isfinite(content["features"]).all()


def test_last_continues_the_run_in_its_folder(trained, pictures, tmp_path):
    method, bundle = trained
    shutil.copytree(bundle, tmp_path / bundle.name)
    longer = {**tiny_training(method), "images_seen": 32, "dataset_dir": pictures, "resume": "last"}
    run_bundle(tmp_path / bundle.name, "smoke", **longer)
    (folder,) = runs(tmp_path / bundle.name)
    assert (folder / "checkpoint_00000008.pt").is_file()


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("evaluate", "infer"), ("inference", "infer")])
def test_monai_finds_all_required_properties(trained, name, kind, pictures, tmp_path):
    method, bundle = trained
    overrides = {**(tiny_training(method) if kind == "train" else tiny_model(method)), "dataset_dir": pictures}
    overrides |= {"output_dir::parent" if kind == "train" else "output_dir": str(tmp_path)}
    workflow = ConfigWorkflow(
        config_files(bundle, name),
        workflow_type=kind,
        logging_file=False,
        **without_tracking(bundle, name),
        **overrides,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_k_nearest_neighbours_are_reported_where_labels_are_given(trained, pictures, tmp_path):
    method, bundle = trained
    table = tmp_path / "labelled" / "labels.csv"
    shutil.copytree(pictures, table.parent)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        writer.writerows([f"slice_{number:02d}.png", number % 2] for number in range(12))
    overrides = {"dataset_dir": pictures, "output_dir": str(tmp_path), "labelled_dirs": str(table.parent)}
    overrides |= {"handlers::1::k": 3}
    run_bundle(bundle, "evaluate", **tiny_model(method), **overrides)
    metrics = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    assert 0 <= metrics["knn_accuracy_labelled"] <= 1


def cause(caught: pytest.ExceptionInfo[BaseException]) -> str:
    """Message of the first error in a chain of wrappers."""
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


@pytest.mark.parametrize(
    ("method", "overrides", "sentence"),
    [
        ("byol", {"batch_size": 1}, "at least 2 images"),
        ("moco_v2", {"batch_size": 1, "batch_norm_groups": 1}, "at least 2 images"),
        ("swav", {"batch_size": 1}, "at least 2 images"),
        ("moco_v2", {"batch_norm_groups": 4}, "cannot be normalised in 4 groups"),
        ("swav", {"prototypes": 30}, "cannot share 30 prototypes"),
        ("byol", {"train::views::augmentations::global::size": 64}, "64 x 64 pixels cannot be cropped from images"),
    ],
)
def test_settings_that_make_no_sense_end_with_a_sentence(method, overrides, sentence, checkout, pictures, tmp_path):
    settings = {**tiny_training(method), **overrides, "dataset_dir": pictures, "output_dir::parent": str(tmp_path)}
    with pytest.raises((RuntimeError, ValueError)) as caught:
        run_bundle(checkout / "bundles" / f"{method}_pretrain", "smoke", **settings)
    assert sentence in cause(caught)


def test_byols_own_views_take_the_place_of_the_studys(checkout, pictures, tmp_path):
    views = {"_target_": "monai_ext.transforms.byol_views", "size": "@image_size"}
    settings = {**tiny_training("byol"), "train::views": views, "output_dir::parent": str(tmp_path)}
    run_bundle(checkout / "bundles" / "byol_pretrain", "smoke", dataset_dir=pictures, **settings)
    (folder,) = tmp_path.iterdir()
    assert {"checkpoint_00000006.pt", "views.png"} <= {file.name for file in folder.iterdir()}


def test_a_queue_longer_than_the_data_is_shortened_and_said(checkout, pictures, tmp_path, caplog):
    settings = {**tiny_training("moco_v2"), "queue_size": 65536, "output_dir::parent": str(tmp_path)}
    run_bundle(
        checkout / "bundles" / "moco_v2_pretrain", "smoke", bundle_root=str(tmp_path), dataset_dir=pictures, **settings
    )
    assert "The queue holds 7 keys, not 65536" in caplog.text
    assert torch.load(tmp_path / "models" / "model.pt", weights_only=True)["metadata"]["queue_size"] == 7


def test_a_checkpoint_of_another_method_is_refused(trained, checkout, pictures, tmp_path):
    method, bundle = trained
    other = "byol" if method != "byol" else "swav"
    (folder,) = runs(bundle)
    overrides = {**tiny_training(other), "dataset_dir": pictures, "resume": str(folder)}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(checkout / "bundles" / f"{other}_pretrain", "smoke", **overrides)
    assert "method" in cause(caught) or "architecture" in cause(caught)


@pytest.mark.slow
def test_two_processes_train_together_under_torchrun(pictures, tmp_path):
    """SwAV, whose queues, assignments and prototypes are shared; BYOL and MoCo have nothing more."""
    files = ",".join(f"'bundles/swav_pretrain/configs/{name}.json'" for name in ("train", "multi_gpu_train"))
    overrides = {"backbone": "resnet18", "image_size": 32, "local_size": 16, "batch_size": 8, "images_seen": 16}
    overrides |= {"prototypes": 8, "queue_size": 16, "hidden_features": 32, "num_workers": 0, "dataset_dir": pictures}
    overrides |= without_tracking(REPOSITORY / "bundles" / "swav_pretrain", "train")
    flags = [text for name, value in overrides.items() for text in (f"--{name}", str(value))]
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m", "monai.bundle", "run"]
    command = [sys.executable, *launcher, "--config_file", f"[{files}]", "--bundle_root", str(tmp_path), *flags]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "models" / "model.pt").is_file()
