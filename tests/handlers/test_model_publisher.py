"""What is published at the end of a training: the weights, what they are of, and the encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from helpers.small_training import small_training
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import EncoderExporter, ModelPublisher, TrainingCheckpoint
from monai_ext.networks.weights import read_model, read_model_metadata


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    root = tmp_path / "some_bundle"
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "metadata.json").write_text('{"version": "0.3.0"}')
    return root


def train(bundle: Path, *others):
    run = bundle / "models" / "run"
    publisher = ModelPublisher(str(bundle), metadata={"image_size": 32})
    return small_training([TrainingCheckpoint(run), EncoderExporter(run), *others, publisher])


def test_the_networks_weights_are_published_in_the_bundle_and_in_the_runs_folder(bundle):
    trainer = train(bundle)
    files = {file.name for file in (bundle / "models").iterdir()}
    assert files == {"run", "model.pt", "model.json", "encoder.pt"}
    for folder in (bundle / "models", bundle / "models" / "run"):
        weights = read_model(folder / "model.pt")
        assert all(torch.equal(weights[name], value) for name, value in trainer.network.state_dict().items())
        metadata = read_model_metadata(folder / "model.pt")
        assert metadata.items() >= {"image_size": 32, "bundle": "some_bundle", "bundle_version": "0.3.0"}.items()
        assert metadata["mlflow_run_id"] is None


def test_what_a_package_said_of_the_former_weights_goes_with_them(bundle):
    (bundle / "models").mkdir()
    for name in ("model.safetensors", "reference.json", "notes.txt"):
        (bundle / "models" / name).write_text("of the former model")
    train(bundle)
    files = {file.name for file in (bundle / "models").iterdir()}
    assert files == {"run", "model.pt", "model.json", "encoder.pt", "notes.txt"}


class Chooser:
    """Says that other weights were the best."""

    def __init__(self, path: Path, value: float) -> None:
        self.path, self.value = path, value

    def attach(self, engine):
        engine.add_event_handler(Events.COMPLETED, self.choose)

    def choose(self, engine):
        weights = {name: torch.zeros_like(value) for name, value in engine.network.state_dict().items()}
        torch.save(weights, self.path)
        state = engine.state
        state.best_weights, state.threshold, state.best_metric, state.best_metric_epoch = self.path, 0.4, self.value, 2


@pytest.mark.parametrize(("value", "written"), [(0.75, 0.75), (float("nan"), None)])
def test_the_best_weights_are_published_where_some_were_chosen(bundle, tmp_path, value, written):
    train(bundle, Chooser(tmp_path / "best.pt", value))
    assert not any(tensor.any() for tensor in read_model(bundle / "models" / "model.pt").values())
    metadata = json.loads((bundle / "models" / "model.json").read_text())
    assert (metadata["threshold"], metadata["best_epoch"], metadata["best_value"]) == (0.4, 2, written)


class LateTracker:
    """Knows the id of its run only when it has closed it, behind all handlers that were attached."""

    def attach(self, engine):
        engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine):
        engine.add_event_handler(Events.COMPLETED, self.close)

    def close(self, engine):
        engine.state.mlflow_run_id = "abc"


def test_a_tracker_closes_its_run_first(bundle):
    train(bundle, LateTracker())
    assert read_model_metadata(bundle / "models" / "model.pt")["mlflow_run_id"] == "abc"


def test_a_place_that_cannot_be_written_to_is_refused_and_the_run_is_named(bundle):
    (bundle / "models").mkdir()
    (bundle / "models" / "model.pt").mkdir()
    with pytest.raises(TrainingStoppedError, match=r"training is complete.*own folder, .*run, has .* --resume last"):
        train(bundle)


def test_the_weights_of_a_step_that_was_killed_are_not_published(bundle):
    def stop() -> None:
        raise KeyboardInterrupt

    class Stopper:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), stop)

    with pytest.raises(KeyboardInterrupt):
        train(bundle, Stopper())
    assert not (bundle / "models" / "model.pt").exists()
