"""Pre-training on volumes: the SparK bundle with volumes.json, a tiny encoder and three small volumes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import run
from monai.networks.nets import ResNet
from PIL import Image

from helpers.bundle_files import REPOSITORY, untracked
from helpers.tiny_resnet import TINY_RESNET, TINY_WIDTH
from helpers.volume_files import write_itk
from monai_ext.embedding import read_feature_table
from monai_ext.networks.weights import read_model_metadata

TINY: dict[str, Any] = {
    "network_def::encoder": {**TINY_RESNET, "spatial_dims": 3},
    "image_size": 64,
    "decoder_width": 32,
    "batch_size": 2,
    "images_seen": 4,
    "num_workers": 0,
    "slices::spacing_mm": [4.0, 2.0, 2.0],
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """Prepared volumes lie in a folder of this test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("MONAI_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of three volumes of 66 voxels a side at the wanted spacing: smooth, each different."""
    folder = tmp_path_factory.mktemp("volumes")
    z, y, x = np.mgrid[0:66, 0:66, 0:66] / 66
    for number in range(3):
        hounsfield = 500 * np.sin(4 * z + number) * np.cos(6 * x) * np.sin(5 * y)
        write_itk(folder / f"{number}.nii.gz", hounsfield.astype(np.int16), spacing=(2.0, 2.0, 4.0))
    return str(folder)


def run_on_volumes(bundle: Path, *names: str, **overrides: Any) -> None:
    files = [str(bundle / "configs" / f"{name}.json") for name in names]
    tracking = untracked(bundle, names[-1] if names[-1] == "evaluate" else names[0])
    run(config_file=files, logging_file=False, **{**tracking, **overrides})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, volumes: str, cache: None) -> Path:
    """A copy of the bundle after a tiny training."""
    bundle = tmp_path_factory.mktemp("bundles") / "spark_pretrain"
    shutil.copytree(REPOSITORY / "bundles" / "spark_pretrain", bundle, ignore=shutil.ignore_patterns("models"))
    run_on_volumes(bundle, "train", "smoke", "volumes", dataset_dir=volumes, **TINY)
    return bundle


def test_a_training_leaves_pictures_and_says_what_its_voxels_are(trained: Path) -> None:
    (folder,) = (path for path in (trained / "models").iterdir() if path.is_dir())
    assert {"best.pt", "encoder.pt", "model.pt", "views.png", "reconstruction_00002.png"} <= {
        file.name for file in folder.iterdir()
    }
    assert Image.open(folder / "reconstruction_00002.png").width == 3 * 64
    metadata = read_model_metadata(trained / "models" / "model.pt")
    expected = {"spatial_dims": 3, "spacing_mm": [4.0, 2.0, 2.0], "axes": "SPL", "image_size": 64, "images_seen": 4}
    assert {name: metadata[name] for name in expected} == expected


def test_the_exported_encoder_is_the_plain_backbone_with_a_plan_in_three_dimensions(trained: Path) -> None:
    content = torch.load(trained / "models" / "encoder.pt", weights_only=True)
    options = {key: value for key, value in TINY_RESNET.items() if key != "_target_"}
    ResNet(**{**options, "spatial_dims": 3, "n_input_channels": 1}).load_state_dict(content["state_dict"])
    plan = content["metadata"]["adaptation_plan"]["input"]
    assert (plan["spatial_dims"], plan["spacing_mm"], plan["axes"]) == (3, [4.0, 2.0, 2.0], "SPL")


def test_evaluation_tells_errors_of_held_out_volumes_in_hounsfield_units(
    trained: Path, volumes: str, tmp_path: Path
) -> None:
    overrides = {name: value for name, value in TINY.items() if name not in ("decoder_width", "images_seen")}
    run_on_volumes(trained, "train", "volumes", "evaluate", dataset_dir=volumes, output_dir=str(tmp_path), **overrides)
    rows = list(csv.DictReader((tmp_path / "reconstruction_error.csv").open()))
    assert rows[0]["predictor"] == "spark"
    assert float(rows[1]["normalized_error"]) == pytest.approx(1, abs=0.01)
    assert all(0 < float(row["full_error_hu"]) < 1000 for row in rows)
    assert json.loads((tmp_path / "reconstruction_error.json").read_text())["same_data_as_training"] is True


def test_inference_writes_pictures_and_features_of_patches(trained: Path, volumes: str, tmp_path: Path) -> None:
    encoder = {"method::encoder": TINY["network_def::encoder"], "num_workers": 0, "pictures": 2}
    run_on_volumes(trained, "inference", "volumes_inference", dataset_dir=volumes, output_dir=str(tmp_path), **encoder)
    assert len(list(tmp_path.glob("*.png"))) == 2
    table = read_feature_table(tmp_path / "features.parquet")
    assert table.features.shape == (3 * 8, TINY_WIDTH)
    assert len(set(table.rows.groups)) == 3


def test_a_run_goes_on_where_it_was(trained: Path, volumes: str, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "spark_pretrain")
    longer = TINY | {"images_seen": 6, "dataset_dir": volumes, "resume": "last"}
    run_on_volumes(tmp_path / "spark_pretrain", "train", "smoke", "volumes", **longer)
    assert read_model_metadata(tmp_path / "spark_pretrain" / "models" / "model.pt")["images_seen"] == 6


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"slices::spacing_mm": -1.5}, "spacing_mm is a distance of voxels in mm"),
        ({"labelled_dirs": "/data/labelled"}, "takes no slices"),
        ({"network_def::decoder::spatial_dims": 2}, "The encoder is 3D with a total stride of 32, the decoder is 2D"),
        ({"image_size": 128}, "None of the 3 volumes"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(overrides, sentence, trained: Path, volumes: str, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "spark_pretrain", ignore=shutil.ignore_patterns("models"))
    with pytest.raises(RuntimeError) as caught:
        run_on_volumes(
            tmp_path / "spark_pretrain", "train", "smoke", "volumes", **{**TINY, "dataset_dir": volumes, **overrides}
        )
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert sentence in str(error)
    assert not list(tmp_path.rglob("*.pt"))
