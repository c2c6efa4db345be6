"""The tracker beside the handlers and trainers that people use it with."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.handlers import CheckpointLoader, CheckpointSaver, StatsHandler
from torch import nn
from torch.utils.data import DataLoader

from monai_ext.engines import PretrainingTrainer, TrainingLength
from monai_ext.handlers import GracefulTermination, TrainingCheckpoint
from monai_ext.tracking import MLflowTracker

ITEMS = [{"image": torch.full((1,), float(index)), "label": torch.zeros(1)} for index in range(8)]


def supervised(folder: Path, tracker: MLflowTracker, *, epochs: int, resume: bool = False, handlers=()):
    """MONAI's stock trainer with MONAI's stock handlers; 4 iterations of 2 images an epoch."""
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    kept: dict[str, Any] = {"network": network, "tracker": tracker}
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(ITEMS, batch_size=2),
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
    )
    kept["trainer"] = trainer
    loader = [CheckpointLoader(str(folder / "last.pt"), load_dict=kept)] if resume else []
    saver = CheckpointSaver(str(folder), save_dict=kept, save_final=True, final_filename="last.pt")
    for handler in [
        *loader,
        tracker,
        *handlers,
        saver,
        StatsHandler(name="stats", output_transform=lambda x: x[0]["loss"]),
    ]:
        handler.attach(trainer)
    trainer.logger.setLevel(logging.CRITICAL)
    return trainer


def loss_steps(client: Any, run_id: str) -> list[int]:
    return sorted(point.step for point in client.get_metric_history(run_id, "loss"))


def test_monais_trainer_is_followed_with_images_seen_and_loss(client, tmp_path: Path) -> None:
    tracker = MLflowTracker("tiny")
    supervised(tmp_path, tracker, epochs=2).run()
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert loss_steps(client, tracker.run_id) == list(range(1, 9))
    assert run.data.metrics["images_seen"] == 16
    assert run.data.metrics["learning_rate"] == 0.01


def test_monais_checkpoints_carry_the_run_to_the_resumed_training(client, tmp_path: Path) -> None:
    first = MLflowTracker("tiny")
    supervised(tmp_path, first, epochs=1).run()
    second = MLflowTracker("tiny")
    supervised(tmp_path, second, epochs=2, resume=True).run()
    assert second.run_id == first.run_id
    assert loss_steps(client, first.run_id) == list(range(1, 9))


def test_a_crash_of_monais_trainer_is_failed_beside_its_handlers(client, tmp_path: Path) -> None:
    class Failing:
        def attach(self, engine) -> None:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), self.fail)

        def fail(self) -> None:
            raise ValueError("broken")

    tracker = MLflowTracker("tiny")
    with pytest.raises(ValueError, match="broken"):
        supervised(tmp_path, tracker, epochs=1, handlers=[Failing()]).run()
    assert client.get_run(tracker.run_id).info.status == "FAILED"


class MeanOfImages:
    """Gives the network's answer to the images, as the loss expects it."""

    def __call__(self, images: torch.Tensor, network: nn.Module) -> tuple[torch.Tensor]:
        return (network(images),)


def pretraining(folder: Path, tracker: MLflowTracker, *, resume: str | None = None, on_iteration=None):
    """Our trainer with our handlers; 4 iterations an epoch, 2 epochs."""
    network = nn.Conv2d(1, 1, 1)
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.01),
        loss_function=lambda output: output.square().mean(),
        train_data_loader=[torch.ones(2, 1, 4, 4)] * 8,
        length=TrainingLength(samples=8, batch_size=2, epochs=2),
        inferer=MeanOfImages(),
        handlers=[
            GracefulTermination(),
            TrainingCheckpoint(folder, every_iterations=2, best_metric=None, resume=resume),
            tracker,
        ],
    )
    if on_iteration is not None:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, on_iteration)
    trainer.logger.setLevel(logging.CRITICAL)
    return trainer


def test_a_pretraining_that_was_interrupted_continues_its_run_from_the_checkpoint(client, tmp_path: Path) -> None:
    def interrupt(engine) -> None:
        if engine.state.iteration == 3:
            raise KeyboardInterrupt

    first = MLflowTracker("tiny")
    with pytest.raises(KeyboardInterrupt):
        pretraining(tmp_path, first, on_iteration=interrupt).run()
    assert client.get_run(first.run_id).info.status == "KILLED"
    second = MLflowTracker("tiny")
    pretraining(tmp_path, second, resume=str(tmp_path)).run()
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "FINISHED"
    assert set(loss_steps(client, first.run_id)) == set(range(1, 9))
    assert client.get_run(first.run_id).data.metrics["images_seen"] == 16


def test_sigterm_to_a_pretraining_is_killed(client, tmp_path: Path) -> None:
    def terminate(engine) -> None:
        if engine.state.iteration == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    tracker = MLflowTracker("tiny")
    with pytest.raises(SystemExit):
        pretraining(tmp_path, tracker, on_iteration=terminate).run()
    assert client.get_run(tracker.run_id).info.status == "KILLED"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_in_a_bundle_the_merged_config_is_the_runs_config(repository_folder: Path) -> None:
    parser = ConfigParser(
        {
            "epochs": 3,
            "tracker": {
                "_target_": "monai_ext.tracking.MLflowTracker",
                "experiment": "tiny",
                "parameters": {"epochs": "@epochs"},
            },
        }
    )
    parser.update({"epochs": 7})
    tracker = parser.get_parsed_content("tracker")
    assert tracker.parameters == {"epochs": 7}
    assert tracker.config["epochs"] == 7
    assert tracker.config["tracker"]["parameters"] == {"epochs": 7}


def test_outside_of_a_bundle_files_are_merged_in_order(repository_folder: Path) -> None:
    Path("a.json").write_text('{"epochs": 3, "seed": 0}')
    Path("b.json").write_text('{"epochs": 5}')
    assert MLflowTracker("tiny", config=["a.json", "b.json"]).config == {"epochs": 5, "seed": 0}
    assert MLflowTracker("tiny").config is None


def test_a_tracker_that_is_not_enabled_follows_nothing(monkeypatch):
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(0.5)})
    monkeypatch.setattr("monai_ext.tracking.tracker.TrackedRun", None)  # opening a run would fail
    MLflowTracker("none", enabled=False).attach(trainer)
    trainer.run([0, 1], max_epochs=1)
    with pytest.raises(ValueError, match="True or False"):
        MLflowTracker("none", enabled="false")
