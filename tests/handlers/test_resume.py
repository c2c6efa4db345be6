"""Resume equals uninterrupted: bit for bit, with every handler on, and with the process killed at random moments."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from helpers.small_training import (
    SmallPainter,
    same_weights,
    small_evaluator,
    small_images,
    small_length,
    small_trainer,
    weights,
)
from monai_ext.engines import PretrainingTrainer
from monai_ext.errors import TrainingStoppedError
from monai_ext.handlers import NonFiniteLossGuard, TrainingCheckpoint, ValidationRunner, find_checkpoint
from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.parallel import devices
from monai_ext.parallel.processor import Processor
from monai_ext.tracking import MLflowTracker

KILLS = 6


def complete_training(
    folder: Path,
    *,
    images_seen: int = 56,
    precision: str = "fp32",
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> PretrainingTrainer:
    """A training with validation and checkpoints, built anew as a new process would."""
    torch.manual_seed(0)
    network = SmallPainter()
    return small_trainer(
        [
            ValidationRunner(small_evaluator(network, precision=precision)),
            NonFiniteLossGuard(),
            TrainingCheckpoint(
                folder, every_iterations=2, resume=folder if folder.exists() else None, settings=settings
            ),
        ],
        network=network,
        length=small_length(images_seen),
        precision=precision,
        **options,
    )


def optimizer_values(trainer: PretrainingTrainer) -> list[Any]:
    state = trainer.optimizer.state_dict()
    tensors = [value for moments in state["state"].values() for value in moments.values()]
    return [[value.tolist() for value in tensors], [{**group, "params": None} for group in state["param_groups"]]]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("stop_after", [2, 3, 5, 12])
def test_a_training_stopped_anywhere_and_resumed_ends_with_the_same_weights(tmp_path, stop_after, precision):
    whole = complete_training(tmp_path / "whole", precision=precision)
    whole.run()
    stopped = complete_training(tmp_path / "parts", precision=precision)

    def stop() -> None:
        raise KeyboardInterrupt

    stopped.add_event_handler(Events.ITERATION_COMPLETED(once=stop_after), stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = complete_training(tmp_path / "parts", precision=precision, seed=99)
    torch.rand(7)  # a process that was started anew may have drawn anything
    resumed.run()
    assert same_weights(weights(resumed), weights(whole))
    assert optimizer_values(resumed) == optimizer_values(whole)
    assert resumed.precision.scaler.state_dict() == whole.precision.scaler.state_dict()
    assert torch.equal(
        torch.get_rng_state(), torch.load(whole.state.last_checkpoint)["random_streams"]["ranks"][0]["torch"]
    )
    for name in ("iteration", "epoch", "images_seen", "best_metric", "best_metric_epoch", "metrics"):
        assert getattr(resumed.state, name) == getattr(whole.state, name), name


def has_bf16(monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    """From here on the processor computes bf16, or does not."""
    here = Processor("AVX-512 with bf16" if yes else "AVX2", has_avx512=yes, has_bf16=yes)
    monkeypatch.setattr(devices, "processor", lambda: here)


@pytest.mark.parametrize(("first", "then"), [(False, True), (True, False)])
def test_a_training_in_auto_goes_on_in_what_it_was_on_another_processor(tmp_path, monkeypatch, first, then):
    options = {"precision": "auto", "settings": {"precision": "auto"}}
    name = {True: "bf16", False: "fp32"}[first]
    has_bf16(monkeypatch, first)
    whole = complete_training(tmp_path / "whole", **options)
    whole.run()
    stopped = complete_training(tmp_path / "parts", **options)
    stopped.add_event_handler(Events.ITERATION_COMPLETED(once=5), lambda engine: engine.terminate())
    stopped.run()
    assert torch.load(stopped.state.last_checkpoint)["settings"] == {"precision": name}
    has_bf16(monkeypatch, then)
    resumed = complete_training(tmp_path / "parts", **options)
    resumed.run()
    assert resumed.precision.name == name
    assert same_weights(weights(resumed), weights(whole))
    assert torch.load(resumed.state.last_checkpoint)["precision"] == name


def test_a_checkpoint_that_knows_no_precision_was_trained_in_that_of_its_settings(tmp_path, monkeypatch):
    has_bf16(monkeypatch, True)
    trainer = complete_training(tmp_path, settings={"precision": "fp32"}, max_epochs=1)
    trainer.run()
    content = torch.load(trainer.state.last_checkpoint)
    del content["precision"]
    torch.save(content, trainer.state.last_checkpoint)
    resumed = complete_training(tmp_path, precision="auto", settings={"precision": "auto"})
    resumed.run()
    assert resumed.precision.name == "fp32"


def test_who_resumes_in_another_precision_gets_it_and_is_told(tmp_path, monkeypatch, caplog):
    has_bf16(monkeypatch, True)
    complete_training(tmp_path, precision="auto", settings={"precision": "auto"}, max_epochs=1).run()
    resumed = complete_training(tmp_path, precision="fp32", settings={"precision": "fp32"})
    resumed.run()
    assert resumed.precision.name == "fp32"
    assert "resumed with another precision: 'fp32', it was 'bf16'" in caplog.text


def test_validation_computes_in_what_training_does(tmp_path, monkeypatch):
    has_bf16(monkeypatch, True)
    network = SmallPainter()
    evaluator = small_evaluator(network, precision="auto")
    trainer = small_trainer([ValidationRunner(evaluator)], network=network, precision="auto")
    assert evaluator.precision is trainer.precision


def test_spark_resumed_ends_with_the_same_weights(tmp_path):
    def training(folder: Path, **options: Any) -> PretrainingTrainer:
        torch.manual_seed(0)
        network = SparK(build_encoder("resnet18"), SparKDecoder(32), drop_path_rate=0.1)
        images = list(torch.rand(12, 1, 64, 64))
        checkpoint = TrainingCheckpoint(folder, best_metric=None, resume=folder if folder.exists() else None)
        return small_trainer(
            [checkpoint], network=network, images=images, patch_size=32, length=small_length(20), **options
        )

    whole = training(tmp_path / "whole")
    whole.run()
    training(tmp_path / "parts", max_epochs=1).run()
    resumed = training(tmp_path / "parts")
    resumed.run()
    assert find_checkpoint(tmp_path / "parts").name == "checkpoint_00000005.pt"
    assert same_weights(weights(resumed), weights(whole))


def train_and_tell(folder: Path, progress: Connection) -> None:
    """The process that is killed: sends a byte at the start of each iteration."""
    torch.set_num_threads(1)
    trainer = complete_training(folder, images_seen=320)
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: progress.send_bytes(b"."))
    trainer.run()


def start(context: Any, folder: Path) -> tuple[Any, Connection]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=train_and_tell, args=(folder, sender))
    process.start()
    sender.close()
    return process, receiver


def kill_at_a_random_moment(process: Any, progress: Connection, draw: random.Random) -> None:
    """After some iterations, wait for up to the duration of two more, and send SIGKILL."""
    progress.recv_bytes()
    began = time.monotonic()
    iterations = draw.randint(2, 6)
    for _ in range(iterations):
        progress.recv_bytes()
    time.sleep(draw.random() * 2 * (time.monotonic() - began) / iterations)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_process_killed_six_times_at_random_moments_ends_with_the_same_weights(tmp_path):
    whole = complete_training(tmp_path / "whole", images_seen=320)
    whole.run()
    context = multiprocessing.get_context("forkserver")  # imports once, then forks each process in no time
    context.set_forkserver_preload(["pytest", "monai_ext.data", "monai_ext.handlers"])
    draw = random.Random(20)
    for kill in range(KILLS):
        process, progress = start(context, tmp_path / "killed")
        kill_at_a_random_moment(process, progress, draw)
        assert process.exitcode == -signal.SIGKILL, f"training ended before kill number {kill + 1}"
    process, _ = start(context, tmp_path / "killed")
    process.join()
    assert process.exitcode == 0
    final = torch.load(find_checkpoint(tmp_path / "killed"), weights_only=True)
    assert final["progress"]["iteration"] == 80
    assert same_weights(final["network"], weights(whole))
    assert not list((tmp_path / "killed").glob("*.partial"))


class KilledReader(list):  # type: ignore[type-arg]
    """Images whose reader is killed at one of them, as by a system that is short of memory."""

    def __init__(self, images: list[torch.Tensor], marker: Path) -> None:
        super().__init__(images)
        self._marker = marker

    def __getitem__(self, index: Any) -> Any:
        if index == 5 and torch.utils.data.get_worker_info() is not None and self._marker.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_training_whose_reader_is_killed_says_so_fails_in_tracking_and_is_resumed(
    client: Any, tmp_path: Path
) -> None:
    """Nothing is lost: what comes after is what an undisturbed training has."""
    short_of_memory = tmp_path / "short_of_memory"
    images = KilledReader(small_images(), short_of_memory)

    def training(folder: str, *handlers: Any) -> PretrainingTrainer:
        path = tmp_path / folder
        checkpoints = TrainingCheckpoint(path, every_iterations=1, resume=path if path.exists() else None)
        return small_trainer([checkpoints, *handlers], images=images, num_workers=1)

    def become_short(engine: Any) -> None:
        short_of_memory.touch()

    calm = training("calm")
    calm.run()
    disturbed = training("disturbed", MLflowTracker("killed"))
    disturbed.add_event_handler(Events.ITERATION_COMPLETED(once=4), become_short)
    with pytest.raises(TrainingStoppedError, match=r"memory ran out .* fewer num_workers .* then resume"):
        disturbed.run()
    assert find_checkpoint(tmp_path / "disturbed") is not None
    (run,) = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    assert run.info.status == "FAILED"
    assert "memory ran out" in run.data.tags["monai_ext.error"]
    short_of_memory.unlink()
    resumed = training("disturbed")
    resumed.run()
    assert same_weights(weights(resumed), weights(calm))
