"""The pre-training bundles at work, with a tiny encoder and a dozen pictures."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.networks.nets import ResNet

from helpers.bundle_files import (
    PRETRAINING,
    REPOSITORY,
    merged_config,
    run_bundle,
    tiny_model,
    tiny_training,
    untracked,
)
from helpers.fresh_process import run_program_twice
from helpers.tiny_resnet import TINY_RESNET, TINY_WIDTH
from monai_ext.embedding import read_feature_table
from monai_ext.networks.weights import read_model_metadata


def runs(bundle: Path) -> list[Path]:
    return sorted(path for path in (bundle / "models").iterdir() if path.is_dir())


@pytest.fixture(params=PRETRAINING, ids=lambda bundle: bundle.name)
def bundle(request: pytest.FixtureRequest, trained: Callable[[Path], Path], from_root: Path) -> Path:
    """The bundle in the copied repository after a training that was started from the repository's root."""
    return trained(request.param)


def test_a_training_leaves_checkpoints_views_and_the_published_model(bundle):
    (folder,) = runs(bundle)
    names = {file.name for file in folder.iterdir()}
    assert {"best.pt", "checkpoint_00000002.pt", "encoder.pt", "model.pt"} <= names
    assert [name for name in names if name.endswith(".png")]
    assert {file.name for file in (bundle / "models").iterdir()} == {
        folder.name,
        "model.pt",
        "model.json",
        "encoder.pt",
    }


def test_the_exported_encoder_is_the_plain_backbone(bundle):
    content = torch.load(bundle / "models" / "encoder.pt", weights_only=True)
    options = {key: value for key, value in TINY_RESNET.items() if key != "_target_"}
    ResNet(**{**options, "n_input_channels": 1}).load_state_dict(content["state_dict"])
    assert content["metadata"]["images_seen"] == 32


def test_evaluation_is_of_the_data_of_the_training_with_the_models_settings(bundle, pictures, tmp_path):
    run_bundle(bundle, "evaluate", **tiny_model(bundle, "evaluate"), dataset_dir=pictures, output_dir=str(tmp_path))
    (file,) = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["same_data_as_training"] is True


def test_inference_writes_features(bundle, pictures, tmp_path):
    overrides = {**tiny_model(bundle, "inference"), "dataset_dir": pictures, "output_dir": str(tmp_path)}
    run_bundle(bundle, "inference", **overrides, batch_size=5)
    features = read_feature_table(tmp_path / "features.parquet").features
    assert features.shape == (12, TINY_WIDTH)
    assert features.isfinite().all()


def test_last_continues_the_run_in_its_folder(bundle, pictures, tmp_path):
    shutil.copytree(bundle, tmp_path / bundle.name)
    longer = {**tiny_training(bundle), "epochs": 3, "dataset_dir": pictures, "resume": "last"}
    run_bundle(tmp_path / bundle.name, "smoke", **longer)
    (folder,) = runs(tmp_path / bundle.name)
    assert (folder / "checkpoint_00000003.pt").is_file()


def test_k_nearest_neighbours_are_reported_where_labels_are_given(bundle, pictures, tmp_path):
    table = tmp_path / "labelled" / "labels.csv"
    shutil.copytree(pictures, table.parent)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label"])
        writer.writerows([f"slice_{number:02d}.png", number % 2] for number in range(12))
    overrides = {"dataset_dir": pictures, "output_dir": str(tmp_path), "labelled_dirs": str(table.parent)}
    monitors = [handler["_target_"].endswith("KNNMonitor") for handler in merged_config(bundle, "evaluate")["handlers"]]
    if not any(monitors):
        pytest.skip("its evaluation is of something else; k-NN is told while it trains")
    overrides |= {f"handlers::{monitors.index(True)}::k": 3}
    run_bundle(bundle, "evaluate", **tiny_model(bundle, "evaluate"), **overrides)
    metrics = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    assert math.isfinite(metrics["val_loss"])
    assert 0 <= metrics["knn_accuracy_0_1"] <= 1


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
        ("moco_v2", {"batch_norm_groups": 16}, "cannot be normalised in 16 groups"),
        ("swav", {"prototypes": 300}, "cannot share 300 prototypes"),
        ("byol", {"train::views::augmentations::global::size": 128}, "128 x 128 pixels cannot be cropped from images"),
    ],
)
def test_settings_that_make_no_sense_end_with_a_sentence(method, overrides, sentence, checkout, pictures, tmp_path):
    bundle = checkout / "bundles" / f"{method}_pretrain"
    settings = {**tiny_training(bundle), **overrides, "dataset_dir": pictures, "output_dir::parent": str(tmp_path)}
    with pytest.raises((RuntimeError, ValueError)) as caught:
        run_bundle(bundle, "smoke", **settings)
    assert sentence in cause(caught)


def test_byols_own_views_take_the_place_of_the_studys(checkout, pictures, tmp_path):
    bundle = checkout / "bundles" / "byol_pretrain"
    views = {"_target_": "monai_ext.transforms.byol_views", "size": "@image_size"}
    settings = {**tiny_training(bundle), "train::views": views, "bundle_root": str(tmp_path)}
    run_bundle(bundle, "smoke", dataset_dir=pictures, **settings)
    (folder,) = runs(tmp_path)
    assert {"checkpoint_00000002.pt", "views.png"} <= {file.name for file in folder.iterdir()}


def test_a_queue_longer_than_the_data_is_shortened_and_said(checkout, pictures, tmp_path, caplog):
    bundle = checkout / "bundles" / "moco_v2_pretrain"
    settings = {**tiny_training(bundle), "batch_size": 4, "queue_size": 65536, "bundle_root": str(tmp_path)}
    run_bundle(bundle, "smoke", dataset_dir=pictures, **settings)
    assert "The queue holds 7 keys, not 65536" in caplog.text
    assert read_model_metadata(tmp_path / "models" / "model.pt")["queue_size"] == 7


def test_a_checkpoint_of_another_method_is_refused(bundle, pictures):
    other = next(path for path in PRETRAINING if path.name != bundle.name)
    (folder,) = runs(bundle)
    overrides = {**tiny_training(other), "dataset_dir": pictures, "resume": str(folder)}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(Path("bundles", other.name), "smoke", **overrides)
    assert "method" in cause(caught) or "architecture" in cause(caught)


@pytest.mark.slow
def test_two_processes_train_together(pictures, tmp_path):
    """SwAV, whose queues, assignments and prototypes are shared; BYOL and MoCo have nothing more."""
    files = ",".join(f"'bundles/swav_pretrain/configs/{name}.json'" for name in ("train", "multi_gpu_train"))
    overrides = {"backbone": "resnet18", "image_size": 32, "local_size": 16, "batch_size": 8, "images_seen": 16}
    overrides |= {"precision": "fp32"}  # in bf16, which "auto" may choose, views of 16 pixels are refused
    overrides |= {"prototypes": 8, "queue_size": 16, "hidden_features": 32, "num_workers": 0, "dataset_dir": pictures}
    overrides |= untracked(REPOSITORY / "bundles" / "swav_pretrain", "train")
    flags = [text for name, value in overrides.items() for text in (f"--{name}", str(value))]
    command = ["-m", "monai.bundle", "run", "--config_file", f"[{files}]", "--bundle_root", str(tmp_path), *flags]
    for done in run_program_twice(*command, cwd=REPOSITORY, env={"OMP_NUM_THREADS": "1"}):
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "models" / "model.pt").is_file()
