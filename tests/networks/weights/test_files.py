"""read_weights: tensors and plain values from a file or an MLflow run; anything else is refused and runs no code."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.networks.weights import read_weights

CONTENT = {"state_dict": {"a": torch.arange(3.0)}, "args": argparse.Namespace(lr=0.1), "epoch": 3}


class MakesFolder:
    """An object whose unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_content_comes_back(tmp_path: Path, zipped: bool) -> None:
    torch.save(CONTENT, tmp_path / "file.ckpt", _use_new_zipfile_serialization=zipped)
    content = read_weights(tmp_path / "file.ckpt")
    assert torch.equal(content["state_dict"]["a"], torch.arange(3.0))
    assert (content["args"].lr, content["epoch"]) == (0.1, 3)


def test_a_folder_stands_for_its_only_weights_file(tmp_path: Path) -> None:
    torch.save(CONTENT, tmp_path / "encoder.pt")
    (tmp_path / "README.md").write_text("An encoder.")
    assert read_weights(str(tmp_path))["epoch"] == 3
    torch.save(CONTENT, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"exactly one weights file.*found: encoder\.pt, other\.pth"):
        read_weights(tmp_path)


@pytest.mark.slow
def test_the_encoder_of_an_mlflow_run_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    run = client.create_run(client.create_experiment("test", artifact_location=(tmp_path / "artifacts").as_uri()))
    torch.save(CONTENT, tmp_path / "encoder.pt")
    client.log_artifact(run.info.run_id, str(tmp_path / "encoder.pt"), "encoder")

    assert read_weights(f"runs:/{run.info.run_id}/encoder")["epoch"] == 3
    assert read_weights(f"runs:/{run.info.run_id}/encoder/encoder.pt")["epoch"] == 3
    with pytest.raises(WeightsError, match=r"could not be read from MLflow at sqlite:.*MLFLOW_TRACKING_URI"):
        read_weights(f"runs:/{'0' * 32}/encoder")
    with pytest.raises(WeightsError, match=r"could not be read from MLflow"):
        read_weights(f"runs:/{run.info.run_id}/decoder")

    # Without the variable it is the database of the repository, in whatever folder of it the reader stands.
    (tmp_path / ".git").mkdir()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert read_weights(f"runs:/{run.info.run_id}/encoder")["epoch"] == 3
    assert not list((tmp_path / "notebooks").iterdir())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path: Path, zipped: bool, kept: float) -> None:
    path = tmp_path / "file.pth"
    torch.save({"a": torch.zeros(1000)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(WeightsError, match=r"file\.pth \(\d+ bytes\) is truncated or .*\. Copy"):
        read_weights(path)


@pytest.mark.parametrize("content", [b"plain text, no weights", b"<!DOCTYPE html><html>", bytes(range(256)) * 20])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="is truncated or is not a torch file"):
        read_weights(tmp_path / "file.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_named_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": MakesFolder(tmp_path / "made")}, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"an object of posix\.mkdir.*execute code from the file.*state_dict alone"):
        read_weights(tmp_path / "file.pth")
    assert not (tmp_path / "made").exists()


def test_a_pickled_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"an object of torch\.nn\.modules\.linear\.Linear"):
        read_weights(tmp_path / "file.pth")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_program_is_refused(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "file.pt")
    with pytest.raises(WeightsError, match="TorchScript archive"):
        read_weights(tmp_path / "file.pt")


def test_what_is_not_named_tensors_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "file.pt")
    with pytest.raises(WeightsError, match="holds a Tensor; accepted are named tensors"):
        read_weights(tmp_path / "file.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"There is no weights file .*nowhere\.pt"):
        read_weights(tmp_path / "nowhere.pt")


def test_safetensors_files_are_read_where_the_package_is_installed(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.torch", reason="safetensors is not installed (it is optional)")
    package.save_file({"a": torch.arange(3.0)}, tmp_path / "file.safetensors")
    assert torch.equal(read_weights(tmp_path / "file.safetensors")["a"], torch.arange(3.0))
    (tmp_path / "file.safetensors").write_bytes((tmp_path / "file.safetensors").read_bytes()[:40])
    with pytest.raises(WeightsError, match="truncated or is not a safetensors file"):
        read_weights(tmp_path / "file.safetensors")


def test_without_the_package_safetensors_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "file.safetensors").touch()
    with pytest.raises(WeightsError, match="pip install safetensors"):
        read_weights(tmp_path / "file.safetensors")


def test_a_flipped_bit_of_a_weight_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.full((1000,), 2.0)}}, tmp_path / "encoder.pt")
    content = bytearray((tmp_path / "encoder.pt").read_bytes())
    content[content.index(torch.full((1000,), 2.0).numpy().tobytes()) + 402] ^= 1
    (tmp_path / "encoder.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=r"encoder\.pt \(\d+ bytes\) is truncated or damaged: Bad CRC-32"):
        read_weights(tmp_path / "encoder.pt")
