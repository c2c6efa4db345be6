"""What a training leaves can be loaded by people who have MLflow and PyTorch alone."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.networks.nets import resnet18

from helpers.fresh_process import run_program, without
from monai_ext.tracking import MLflowTracker, deliver
from monai_ext.tracking.models import write_mlflow_model

SETTINGS = {
    "in_channels": 1, "image_size": 32, "backbone": "resnet18", "class_names": ["NonCOVID", "COVID"],
    "window": "lung", "dataset_dir": "/hospital/Doe^Jane",
}  # fmt: skip

_LOADING = f"""{without("monai", "monai_ext")}
import mlflow.pytorch, torch
mlflow.set_tracking_uri(sys.argv[1])
images = torch.load(sys.argv[2], weights_only=True)
torch.save([mlflow.pytorch.load_model(model)(images) for model in sys.argv[4:]], sys.argv[3])
"""


class Pretraining(torch.nn.Module):
    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder


def classifier(classes: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    return resnet18(spatial_dims=2, n_input_channels=1, num_classes=classes, conv1_t_stride=2, bias_downsample=False)


@pytest.fixture
def train_network(make_trainer: Callable[..., Engine]) -> Callable[..., Engine]:
    """The tiny training, with a network to leave."""

    def run(tracker: MLflowTracker, network: torch.nn.Module, *, best: Path | None = None) -> Engine:
        engine: Any = make_trainer(tracker)
        engine.network = network
        if best is not None:
            engine.state.best_weights = str(best)
        engine.run([torch.zeros(4, 1)], max_epochs=1)
        return engine

    return run


def loaded_elsewhere(client: Any, models: list[str], images: torch.Tensor, folder: Path) -> list[torch.Tensor]:
    """What the models give in a process without MONAI and this package, which may not unpickle."""
    torch.save(images, folder / "images.pt")
    arguments = [client.tracking_uri, folder / "images.pt", folder / "output.pt", *models]
    (folder / "loading.py").write_text(_LOADING)
    done = run_program(
        *(str(folder / "loading.py"), *map(str, arguments)),
        env={"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.load(folder / "output.pt", weights_only=True)


def test_the_best_classifier_is_a_registered_model_that_loads_without_monai(client, train_network, tmp_path) -> None:
    last, best = classifier(), classifier().eval()
    torch.nn.init.normal_(best.fc.weight, std=1.0)
    torch.save(best.state_dict(), tmp_path / "best.pt")
    tracker = MLflowTracker("tiny", parameters=SETTINGS, output_dir=str(tmp_path), register="covid19 one")
    train_network(tracker, last, best=tmp_path / "best.pt")
    (version,) = client.search_model_versions("name = 'covid19 one'")
    assert (str(version.version), version.run_id, version.status) == ("1", tracker.run_id, "READY")
    assert not (tmp_path / "mlflow_model").exists()
    images = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        expected = best(images).softmax(1)
    names = ["models:/covid19 one/1", f"runs:/{tracker.run_id}/classifier"]
    for found in loaded_elsewhere(client, names, images, tmp_path):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_encoder_of_a_pretraining_gives_features_and_names_no_place(client, train_network, tmp_path) -> None:
    import mlflow.pyfunc

    encoder = classifier()
    encoder.fc = None
    settings = {name: value for name, value in SETTINGS.items() if name != "class_names"}
    (model,) = write_mlflow_model(
        train_network(MLflowTracker("tiny"), Pretraining(encoder)), tmp_path, settings=settings
    )
    folder = Path(model.path)
    loaded = mlflow.pyfunc.load_model(str(folder))
    images = np.random.default_rng(0).random((3, 1, 32, 32), dtype=np.float32)
    with torch.no_grad():
        expected = encoder.eval()(torch.from_numpy(images))
    np.testing.assert_allclose(loaded.predict(images), expected, rtol=1e-4, atol=1e-5)
    assert [tuple(field.shape) for field in loaded.metadata.signature.outputs.inputs] == [(-1, 512)]
    assert np.unique(json.loads((folder / "input_example.json").read_text())).tolist() == [0.5]
    with zipfile.ZipFile(next(folder.rglob("*.pt2"))) as archive:
        said = b"".join(archive.read(name) for name in archive.namelist() if "/weights/" not in name)
    said += b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    assert not [place for place in (sys.prefix, str(tmp_path), "site-packages", "Doe") if place.encode() in said]


def test_a_model_waits_while_the_server_is_away(client, train_network, tmp_path, monkeypatch) -> None:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    tracker = MLflowTracker("tiny", parameters=SETTINGS, output_dir=str(tmp_path), register="later")
    train_network(tracker, classifier())
    if uri is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (waiting,) = tmp_path.glob("mlflow_*.jsonl")
    waiting.write_text(waiting.read_text().replace("http://127.0.0.1:9", client.tracking_uri))
    run_id = deliver(waiting)
    assert [version.run_id for version in client.search_model_versions("name = 'later'")] == [run_id]
    assert not (tmp_path / "mlflow_model").exists()


def test_a_network_that_cannot_be_exported_costs_a_warning_and_not_the_training(
    client, train_network, tmp_path, caplog
) -> None:
    tracker = MLflowTracker("tiny", parameters=SETTINGS, output_dir=str(tmp_path), register="never")
    train_network(tracker, torch.nn.Linear(7, 2))
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert "not an MLflow Model" in caplog.text
    assert not client.search_model_versions("name = 'never'")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:1", "..", 7, True, "line\nbreak", "x" * 300])
def test_a_name_that_the_registry_would_refuse_is_refused_before_training(name: Any) -> None:
    with pytest.raises(ValueError, match="MLflow's registry"):
        MLflowTracker("tiny", register=name)
