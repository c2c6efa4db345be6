"""The SparK bundle at work, with a tiny encoder and a dozen pictures."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, run, verify_net_in_out
from monai.networks.nets import resnet18
from PIL import Image

from helpers.bundle_files import (
    REPOSITORY,
    TINY_MODEL,
    TINY_TRAINING,
    config_files,
    merged_config,
    without_tracking,
)
from helpers.tiny_resnet import TINY_RESNET
from monai_ext.errors import CheckpointError, WeightsError
from monai_ext.networks import build_encoder


def _run(bundle: Path, name: str, **overrides) -> None:
    run(config_file=config_files(bundle, name), logging_file=False, **without_tracking(bundle, name), **overrides)


def _runs(bundle: Path) -> list[Path]:
    return sorted(path for path in (bundle / "models").iterdir() if path.is_dir())


def _cause(caught) -> BaseException:
    """The first error in a chain of wrappers."""
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def test_a_training_leaves_checkpoints_pictures_and_the_published_model(trained):
    (folder,) = _runs(trained)
    assert {file.name for file in folder.iterdir()} == {
        "best.pt",
        "checkpoint_00000006.pt",
        "encoder.pt",
        "reconstruction_00002.png",
        "views.png",
    }
    assert {file.name for file in (trained / "models").iterdir()} == {folder.name, "model.pt", "encoder.pt"}
    metadata = torch.load(trained / "models" / "model.pt", weights_only=True)["metadata"]
    assert metadata["image_size"] == 64
    assert metadata["images_seen"] == 24


def test_nothing_is_written_outside_of_the_models_folder(trained):
    fresh = {file.name for file in (REPOSITORY / "bundles" / "spark_pretrain").iterdir()}
    assert {file.name for file in trained.iterdir()} - fresh <= {"models", "eval", "predictions"}
    assert {file.name for file in trained.parents[1].iterdir()} == {"bundles"}


def test_the_monitored_metric_is_produced(trained):
    config = merged_config(trained, "train")
    saver = next(h for h in config["train"]["handlers"] if h["_target_"] == "monai_ext.handlers.TrainingCheckpoint")
    (folder,) = _runs(trained)
    best = torch.load(folder / "best.pt", weights_only=True)
    assert saver["best_metric"] == "val_loss"
    assert 0 < best["progress"]["best_metric"] < 10


def test_evaluation_writes_the_table_with_the_trained_models_settings(trained, pictures, from_root, tmp_path):
    overrides = {**TINY_MODEL, "dataset_dir": pictures, "output_dir": str(tmp_path)}
    _run(Path("bundles/spark_pretrain"), "evaluate", **overrides)
    rows = list(csv.DictReader((tmp_path / "reconstruction_error.csv").open()))
    trivial = ["visible_mean", "linear_inpainting"]
    assert [row["predictor"] for row in rows] == ["spark", *trivial, *trivial]
    assert float(rows[1]["normalized_error"]) == pytest.approx(1, abs=0.01)
    assert json.loads((tmp_path / "reconstruction_error.json").read_text())["same_data_as_training"] is True


def test_inference_writes_pictures_and_features(trained, pictures, from_root, tmp_path):
    overrides = {**TINY_MODEL, "dataset_dir": pictures, "output_dir": str(tmp_path), "pictures": 5, "batch_size": 4}
    _run(Path("bundles/spark_pretrain"), "inference", **overrides)
    assert len(list(tmp_path.glob("*.png"))) == 5
    assert Image.open(tmp_path / next(tmp_path.glob("000000_*.png")).name).size == (3 * 64, 64)
    content = np.load(tmp_path / "features.npz")
    assert content["features"].shape == (12, 32)
    assert np.isfinite(content["features"]).all()
    assert len(set(content["group"])) == 12


def test_last_continues_the_run_in_its_folder(trained, pictures, from_root, tmp_path):
    shutil.copytree(trained, tmp_path / "spark_pretrain")
    bundle = tmp_path / "spark_pretrain"
    _run(bundle, "smoke", **TINY_TRAINING | {"epochs": 3}, dataset_dir=pictures, resume="last")
    (folder,) = _runs(bundle)
    assert (folder / "checkpoint_00000009.pt").is_file()
    assert torch.load(bundle / "models" / "model.pt", weights_only=True)["metadata"]["images_seen"] == 36


@pytest.mark.parametrize("place", ["inside", "unpacked elsewhere"])
def test_it_runs_from_inside_the_bundle_and_from_an_unpacked_zip(place, checkout, pictures, tmp_path, monkeypatch):
    archive = shutil.make_archive(str(tmp_path / "spark"), "zip", checkout / "bundles", "spark_pretrain")
    shutil.unpack_archive(archive, tmp_path / "downloads")
    bundle = tmp_path / "downloads" / "spark_pretrain"
    shutil.rmtree(bundle / "models", ignore_errors=True)
    monkeypatch.chdir(bundle if place == "inside" else tmp_path)
    given = Path() if place == "inside" else bundle
    _run(given, "smoke", **TINY_TRAINING | {"images_seen": 4}, dataset_dir=pictures)
    assert (bundle / "models" / "model.pt").is_file()
    assert len(_runs(bundle)) == 1


@pytest.mark.parametrize(
    ("name", "kind"), [("train", "train"), ("multi_gpu_train", "train"), ("evaluate", "infer"), ("inference", "infer")]
)
def test_monai_finds_all_required_properties(name, kind, trained, pictures, from_root, tmp_path):
    overrides = {**(TINY_TRAINING if kind == "train" else TINY_MODEL), "dataset_dir": pictures}
    overrides |= {"output_dir::parent" if kind == "train" else "output_dir": str(tmp_path)}
    if name == "multi_gpu_train":  # without its first step, which waits for other processes
        overrides["initialize"] = []
    workflow = ConfigWorkflow(
        config_files(Path("bundles/spark_pretrain"), name),
        workflow_type=kind,
        logging_file=False,
        **without_tracking(trained, name),
        **overrides,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    if kind == "train":
        assert workflow.max_epochs == 2
        assert len(workflow.train_dataset) + len(workflow.val_dataset) == 12


def test_the_default_network_takes_and_gives_what_the_metadata_says(repository):
    configs = repository / "bundles" / "spark_pretrain" / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "train.json"),
        device="cpu",
        decoder_width=32,
    )


def test_the_exported_encoder_loads_into_monais_resnet(tmp_path, trained, pictures, from_root):
    overrides = {**TINY_TRAINING, "images_seen": 4, "output_dir::parent": str(tmp_path), "bundle_root": str(tmp_path)}
    overrides["network_def::encoder"] = merged_config(trained, "train")["network_def"]["encoder"]
    _run(Path("bundles/spark_pretrain"), "smoke", **overrides, dataset_dir=pictures)
    content = torch.load(tmp_path / "models" / "encoder.pt", weights_only=True)
    stock = resnet18(
        spatial_dims=2,
        n_input_channels=1,
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
        shortcut_type="B",
    )
    stock.load_state_dict(content["state_dict"])
    assert content["metadata"]["backbone"] == "resnet18"
    assert stock.state_dict().keys() == build_encoder("resnet18").state_dict().keys()


def test_a_model_of_other_settings_is_refused_with_both(trained, pictures, from_root, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        _run(
            Path("bundles/spark_pretrain"),
            "inference",
            dataset_dir=pictures,
            output_dir=str(tmp_path),
            decoder_width=64,
        )
    error = caught.value.__cause__
    while not isinstance(error, WeightsError):
        error = error.__cause__
    assert "do not fit the network of this config" in str(error)
    assert "'decoder_width': 32" in str(error)
    assert not list(tmp_path.iterdir())


def test_without_a_trained_model_evaluation_says_what_to_run_first(checkout, pictures, from_root, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        _run(Path("bundles/spark_pretrain"), "evaluate", dataset_dir=pictures, bundle_root=str(tmp_path))
    assert "run configs/train.json to its end first" in str(_cause(caught))


def test_resuming_another_architecture_is_refused_and_leaves_the_run_as_it_was(trained, pictures, from_root):
    (folder,) = _runs(trained)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    other = TINY_TRAINING | {"network_def::encoder": {**TINY_RESNET, "block_inplanes": [8, 16, 32, 64]}}
    with pytest.raises(RuntimeError) as caught:
        _run(Path("bundles/spark_pretrain"), "smoke", **other, dataset_dir=pictures, resume=str(folder))
    assert isinstance(_cause(caught), CheckpointError)
    assert "another architecture" in str(_cause(caught))
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def _command(*arguments: str, cwd: Path, tmp_path: Path, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "OMP_NUM_THREADS": "1",
    }
    module = [*launcher, "-m", "monai.bundle", "run"]
    command = [sys.executable, *module, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)


def _flags(**overrides: object) -> list[str]:
    return [text for name, value in overrides.items() for text in (f"--{name}", str(value))]


@pytest.mark.slow
def test_the_command_of_the_project_trains_on_the_embedded_sample(repository, tmp_path):
    tiny = _flags(backbone="resnet18", image_size=64, decoder_width=32, batch_size=4, images_seen=8, num_workers=1)
    done = _command(
        *("--config_file", "bundles/spark_pretrain/configs/train.json", "--bundle_root", str(tmp_path)),
        *tiny,
        cwd=repository,
        tmp_path=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "embedded sample" in done.stdout + done.stderr
    assert (tmp_path / "models" / "model.pt").is_file()
    assert (tmp_path / "mlflow.db").is_file()


def test_a_misspelt_override_ends_the_command_with_one_sentence_and_makes_nothing(repository, tmp_path):
    done = _command(
        *("--config_file", "bundles/spark_pretrain/configs/train.json", "--bundle_root", str(tmp_path / "root")),
        *("--epohcs", "3"),
        cwd=repository,
        tmp_path=tmp_path,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "Error: Checking the overrides of train.json: there is no id 'epohcs' (did you mean 'epochs'?)"
    )
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_train_together_under_torchrun(repository, pictures, tmp_path):
    tiny = _flags(backbone="resnet18", image_size=64, decoder_width=32, batch_size=4, images_seen=8, num_workers=0)
    files = ",".join(f"'bundles/spark_pretrain/configs/{name}.json'" for name in ("train", "multi_gpu_train"))
    done = _command(
        *("--config_file", f"[{files}]", "--bundle_root", str(tmp_path), "--dataset_dir", pictures),
        *tiny,
        *_flags(**without_tracking(repository / "bundles" / "spark_pretrain", "train")),
        cwd=repository,
        tmp_path=tmp_path,
        launcher=("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(_runs(tmp_path)) == 1
    assert (tmp_path / "models" / "model.pt").is_file()


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let errors end as they do under ``python -m monai.bundle``, without the seconds that a process takes to start."""
    for module in ("running_config", "bundle.engine_run"):
        monkeypatch.setattr(f"monai_ext.{module}.started_from_command_line", lambda: True)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"dataset_dir": "no/such/folder"}, r"^Error: .*no/such/folder"),
        ({"dataset_dir": "empty"}, r"^Error: .*empty"),
        ({"dataset_dir": "damaged"}, r"^Error: .*slice_00\.png"),
        ({"resume": "truncated/checkpoint_00000006.pt"}, r"^Error: .*truncated or damaged"),
        ({"resume": "last"}, r"^Error: .*no folder in .* holds a checkpoint"),
        ({"output_dir::parent": "a_file"}, r"^Error: .*a_file.*--output_dir::parent"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input_ends_the_command_with_one_sentence(
    overrides, sentence, trained, pictures, tmp_path, monkeypatch, command_line
):
    shutil.copytree(trained, tmp_path / "spark_pretrain", ignore=shutil.ignore_patterns("models"))
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("a_file").touch()
    shutil.copytree(pictures, "damaged")
    Path("damaged/slice_00.png").write_bytes(Path("damaged/slice_00.png").read_bytes()[:60])
    (folder,) = _runs(trained)
    Path("truncated").mkdir()
    Path("truncated/checkpoint_00000006.pt").write_bytes((folder / "checkpoint_00000006.pt").read_bytes()[:-1000])
    with pytest.raises(SystemExit, match=sentence):
        _run(Path("spark_pretrain"), "smoke", **{**TINY_TRAINING, "dataset_dir": pictures, **overrides})
    assert not list(Path("spark_pretrain").rglob("*.pt"))


def test_a_size_that_the_network_cannot_take_ends_with_the_nearest_that_it_can(
    trained, pictures, tmp_path, from_root, command_line, capsys
):
    overrides = {**TINY_TRAINING, "image_size": 50, "dataset_dir": pictures, "output_dir::parent": str(tmp_path)}
    with pytest.raises(SystemExit, match=r"^1$"):
        _run(Path("bundles/spark_pretrain"), "smoke", **overrides)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "every axis must be divisible by the patch size 32" in last
    assert "(64, 64)" in last
