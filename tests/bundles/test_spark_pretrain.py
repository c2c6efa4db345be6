"""The SparK bundle at work, with a tiny encoder and a dozen pictures."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.networks.nets import resnet18
from PIL import Image

from helpers.bundle_files import REPOSITORY, merged_config, run_bundle, tiny_model, tiny_training, untracked
from helpers.fresh_process import run_program
from helpers.tiny_resnet import TINY_RESNET
from monai_ext.embedding import read_feature_table
from monai_ext.errors import CheckpointError, WeightsError
from monai_ext.handlers import TrainingCheckpoint
from monai_ext.networks import build_encoder
from monai_ext.networks.weights import read_model_metadata

SPARK = Path("bundles/spark_pretrain")
TINY = tiny_training(REPOSITORY / SPARK)


@pytest.fixture
def trained(trained: Callable[[Path], Path]) -> Path:
    """The bundle of the copied repository after a tiny training."""
    return trained(SPARK)


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
        "checkpoint_00000002.pt",
        "encoder.pt",
        "model.json",
        "model.pt",
        "reconstruction_00002.png",
        "views.png",
    }
    assert {file.name for file in (trained / "models").iterdir()} == {
        folder.name,
        "model.pt",
        "model.json",
        "encoder.pt",
    }
    metadata = read_model_metadata(trained / "models" / "model.pt")
    assert metadata["image_size"] == 64
    assert metadata["images_seen"] == 32


def test_nothing_is_written_outside_of_the_models_folder(trained):
    fresh = {file.name for file in (REPOSITORY / "bundles" / "spark_pretrain").iterdir()}
    assert {file.name for file in trained.iterdir()} - fresh <= {"models", "eval", "predictions"}
    assert {file.name for file in trained.parents[1].iterdir()} == {"bundles"}


def test_the_monitored_metric_is_produced(trained):
    (folder,) = _runs(trained)
    best = torch.load(folder / "best.pt", weights_only=True)
    assert TrainingCheckpoint(folder).best_metric == "val_loss"
    assert 0 < best["progress"]["best_metric"] < 10


def test_evaluation_writes_the_table_with_the_trained_models_settings(trained, pictures, from_root, tmp_path):
    overrides = {**tiny_model(SPARK, "evaluate"), "dataset_dir": pictures, "output_dir": str(tmp_path)}
    run_bundle(SPARK, "evaluate", **overrides)
    rows = list(csv.DictReader((tmp_path / "reconstruction_error.csv").open()))
    trivial = ["visible_mean", "linear_inpainting"]
    assert [row["predictor"] for row in rows] == ["spark", *trivial, *trivial]
    assert float(rows[1]["normalized_error"]) == pytest.approx(1, abs=0.01)
    assert json.loads((tmp_path / "reconstruction_error.json").read_text())["same_data_as_training"] is True


def test_inference_writes_pictures_and_features(trained, pictures, from_root, tmp_path):
    overrides = {**tiny_model(SPARK, "inference"), "dataset_dir": pictures, "output_dir": str(tmp_path)}
    overrides |= {"pictures": 5, "batch_size": 4}
    run_bundle(SPARK, "inference", **overrides)
    assert len(list(tmp_path.glob("*.png"))) == 5
    assert Image.open(tmp_path / next(tmp_path.glob("000000_*.png")).name).size == (3 * 64, 64)
    table = read_feature_table(tmp_path / "features.parquet")
    assert table.features.shape == (12, 32)
    assert table.features.isfinite().all()
    assert len(set(table.rows.groups)) == 12


def test_last_continues_the_run_in_its_folder(trained, pictures, from_root, tmp_path):
    shutil.copytree(trained, tmp_path / "spark_pretrain")
    bundle = tmp_path / "spark_pretrain"
    run_bundle(bundle, "smoke", **TINY | {"epochs": 3}, dataset_dir=pictures, resume="last")
    (folder,) = _runs(bundle)
    assert (folder / "checkpoint_00000003.pt").is_file()
    assert read_model_metadata(bundle / "models" / "model.pt")["images_seen"] == 48


@pytest.mark.parametrize("place", ["inside", "unpacked elsewhere"])
def test_it_runs_from_inside_the_bundle_and_from_an_unpacked_zip(place, checkout, pictures, tmp_path, monkeypatch):
    archive = shutil.make_archive(str(tmp_path / "spark"), "zip", checkout / "bundles", "spark_pretrain")
    shutil.unpack_archive(archive, tmp_path / "downloads")
    bundle = tmp_path / "downloads" / "spark_pretrain"
    shutil.rmtree(bundle / "models", ignore_errors=True)
    monkeypatch.chdir(bundle if place == "inside" else tmp_path)
    path = Path() if place == "inside" else bundle
    run_bundle(path, "smoke", **TINY | {"images_seen": 4}, dataset_dir=pictures)
    assert (bundle / "models" / "model.pt").is_file()
    assert len(_runs(bundle)) == 1


def test_the_exported_encoder_loads_into_monais_resnet(tmp_path, trained, pictures, from_root):
    overrides = {**TINY, "images_seen": 4, "output_dir::parent": str(tmp_path), "bundle_root": str(tmp_path)}
    overrides["network_def::encoder"] = merged_config(trained, "train")["network_def"]["encoder"]
    run_bundle(SPARK, "smoke", **overrides, dataset_dir=pictures)
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
        run_bundle(
            SPARK,
            "inference",
            dataset_dir=pictures,
            output_dir=str(tmp_path),
            decoder_width=64,
        )
    error = caught.value.__cause__
    while not isinstance(error, WeightsError):
        error = error.__cause__
    assert "do not fit the network of this config" in str(error)
    assert "'decoder_width': 128" in str(error)
    assert not list(tmp_path.iterdir())


def test_without_a_trained_model_evaluation_says_what_to_run_first(checkout, pictures, from_root, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run_bundle(SPARK, "evaluate", dataset_dir=pictures, bundle_root=str(tmp_path))
    assert "run configs/train.json to its end first" in str(_cause(caught))


def test_resuming_another_architecture_is_refused_and_leaves_the_run_as_it_was(trained, pictures, from_root):
    (folder,) = _runs(trained)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    other = TINY | {"network_def::encoder": {**TINY_RESNET, "block_inplanes": [8, 16, 32, 64]}}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(SPARK, "smoke", **other, dataset_dir=pictures, resume=str(folder))
    assert isinstance(_cause(caught), CheckpointError)
    assert "another architecture" in str(_cause(caught))
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


RUN = ("-m", "monai.bundle", "run")


def _environment(tmp_path: Path) -> dict[str, str]:
    database = f"sqlite:///{tmp_path}/mlflow.db"
    return {"PYTHONPATH": str(REPOSITORY), "MLFLOW_TRACKING_URI": database, "OMP_NUM_THREADS": "1"}


def _flags(**overrides: object) -> list[str]:
    return [text for name, value in overrides.items() for text in (f"--{name}", str(value))]


@pytest.mark.slow
def test_the_command_of_the_project_trains_on_the_embedded_sample(repository, empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    tiny = _flags(backbone="resnet18", image_size=64, decoder_width=32, batch_size=4, images_seen=8, num_workers=1)
    done = run_program(
        *(*RUN, "--config_file", "bundles/spark_pretrain/configs/train.json", "--bundle_root", str(tmp_path)),
        *tiny,
        cwd=repository,
        env=_environment(tmp_path),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "embedded sample" in done.stdout + done.stderr
    assert (tmp_path / "models" / "model.pt").is_file()
    assert b"spark_pretrain" in (tmp_path / "mlflow.db").read_bytes()


def test_a_misspelt_override_ends_the_command_with_one_sentence_and_makes_nothing(repository, tmp_path):
    done = run_program(
        *(*RUN, "--config_file", "bundles/spark_pretrain/configs/train.json", "--bundle_root", str(tmp_path / "root")),
        *("--epohcs", "3"),
        cwd=repository,
        env=_environment(tmp_path),
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "Error: Checking the overrides of train.json: there is no id 'epohcs' (did you mean 'epochs'?)"
    )
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_train_together_under_torchrun(repository, pictures, empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    tiny = _flags(backbone="resnet18", image_size=64, decoder_width=32, batch_size=4, images_seen=8, num_workers=0)
    files = ",".join(f"'bundles/spark_pretrain/configs/{name}.json'" for name in ("train", "multi_gpu_train"))
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone")
    done = run_program(  # the launcher alone is forked: it starts both trainings as processes with nothing imported
        *(*launcher, *RUN, "--config_file", f"[{files}]", "--bundle_root", str(tmp_path), "--dataset_dir", pictures),
        *tiny,
        *_flags(**untracked(repository / SPARK, "train")),
        cwd=repository,
        env=_environment(tmp_path),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(_runs(tmp_path)) == 1
    assert (tmp_path / "models" / "model.pt").is_file()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"dataset_dir": "no/such/folder"}, r"^Error: .*no/such/folder"),
        ({"dataset_dir": "empty"}, r"^Error: .*empty"),
        ({"resume": "truncated/checkpoint_00000002.pt"}, r"^Error: .*truncated or damaged"),
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
    (folder,) = _runs(trained)
    Path("truncated").mkdir()
    Path("truncated/checkpoint_00000002.pt").write_bytes((folder / "checkpoint_00000002.pt").read_bytes()[:-1000])
    settings = {**TINY, "dataset_dir": pictures, **overrides}
    assert re.search(sentence, command_line(lambda: run_bundle(Path("spark_pretrain"), "smoke", **settings)))
    assert not list(Path("spark_pretrain").rglob("*.pt"))


def test_a_size_that_the_network_cannot_take_ends_with_the_nearest_that_it_can(
    trained, pictures, tmp_path, from_root, command_line
):
    overrides = {**TINY, "image_size": 50, "dataset_dir": pictures, "output_dir::parent": str(tmp_path)}
    last = command_line(lambda: run_bundle(SPARK, "smoke", **overrides)).strip().splitlines()[-1]
    assert "every axis must be divisible by the patch size 32" in last
    assert "(64, 64)" in last
