"""Checkpoints: which are kept, what is refused, and that a failed write harms nothing."""

from __future__ import annotations

import logging
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
    small_training,
    weights,
)
from monai_ext.engines import PretrainingEvents
from monai_ext.errors import CheckpointError, DamagedCheckpointError, TrainingStoppedError
from monai_ext.handlers import TrainingCheckpoint, ValidationRunner, find_checkpoint


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@contextmanager
def full_disk() -> Iterator[Callable[[], None]]:
    """A disk that takes no more than a kilobyte a file, from the call on; pytest's own files have room again after."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_last_k_are_kept_and_the_end_of_training_is_saved(tmp_path):
    small_training([TrainingCheckpoint(tmp_path, keep_last=2, every_iterations=4)])
    assert files(tmp_path) == ["checkpoint_00000012.pt", "checkpoint_00000014.pt"]


def test_the_best_is_kept_besides_the_last(tmp_path):
    values = iter([0.5, 0.3, 0.4, float("nan"), 0.35])
    trainer = small_trainer()
    best_epochs = []

    def validate(engine) -> None:
        engine.state.metrics["val_loss"] = next(values)
        engine.fire_event(PretrainingEvents.VALIDATION_COMPLETED)
        best_epochs.append(engine.state.best_metric_epoch)

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    TrainingCheckpoint(tmp_path, keep_last=1).attach(trainer)
    trainer.run()
    assert best_epochs == [1, 2, 2, 2, 2]
    assert files(tmp_path) == ["best.pt", "checkpoint_00000014.pt"]
    best = torch.load(tmp_path / "best.pt", weights_only=True)["progress"]
    assert (best["iteration"], best["best_metric"], best["best_metric_epoch"]) == (6, 0.3, 2)


def test_a_resumed_training_replaces_the_best_only_by_a_better_one(tmp_path):
    network = SmallPainter()
    runner = ValidationRunner(small_evaluator(network))
    small_training([runner, TrainingCheckpoint(tmp_path)], network=network, max_epochs=2)
    content = (tmp_path / "best.pt").read_bytes()
    path = find_checkpoint(tmp_path)
    state = torch.load(path, weights_only=True)
    state["progress"]["best_metric"] = -1.0  # nothing will be better
    torch.save(state, path)
    small_training([runner, TrainingCheckpoint(tmp_path, resume=tmp_path)], network=network)
    assert (tmp_path / "best.pt").read_bytes() == content


def test_events_and_state_name_the_last_complete_file(tmp_path):
    seen = []
    trainer = small_trainer([TrainingCheckpoint(tmp_path)], max_epochs=2)
    trainer.add_event_handler(
        PretrainingEvents.CHECKPOINT_SAVED, lambda engine: seen.append(Path(engine.state.last_checkpoint).is_file())
    )
    trainer.run()
    assert seen == [True, True]
    assert trainer.state.last_checkpoint == str(tmp_path / "checkpoint_00000006.pt")


def test_a_checkpoint_holds_everything_and_is_readable_without_running_code(tmp_path):
    trainer = small_trainer([TrainingCheckpoint(tmp_path, settings={"path": Path("a"), "lr": 0.1})], precision="fp16")
    trainer.state.mlflow_run_id = "abc"
    trainer.run()
    state = torch.load(trainer.state.last_checkpoint, weights_only=True)
    assert state["method"] == "SmallPainter"
    assert state["settings"] == {"path": "a", "lr": 0.1}
    assert state["progress"]["mlflow_run_id"] == "abc"
    assert state["scaler"]["scale"] > 0
    assert state["stream"]["seed"] == 2
    assert state["random_streams"]["ranks"][0].keys() == {"python", "numpy", "torch", "cuda"}


def test_settings_that_change_on_resume_are_logged(tmp_path, caplog):
    small_training([TrainingCheckpoint(tmp_path, settings={"lr": 0.1, "seed": 0})], max_epochs=1)
    with caplog.at_level(logging.WARNING):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path, settings={"lr": 0.2, "seed": 0})], max_epochs=1)
    assert [record.getMessage() for record in caplog.records if "resumed with" in record.getMessage()] == [
        "The training is resumed with another lr: 0.2, it was 0.1."
    ]


def test_a_training_that_was_complete_does_nothing_when_resumed(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)])
    trainer = small_trainer([TrainingCheckpoint(tmp_path, resume=tmp_path)])
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda: pytest.fail("trained beyond the end"))
    trainer.run()
    assert trainer.state.iteration == 14


def test_a_folder_without_checkpoints_starts_from_the_beginning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        trainer = small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)])
    assert "starts from the beginning" in caplog.text
    assert trainer.state.iteration == 14


def test_going_back_sets_later_checkpoints_aside(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)])
    small_training([TrainingCheckpoint(tmp_path, resume=tmp_path / "checkpoint_00000009.pt")], max_epochs=3)
    assert files(tmp_path) == [
        "checkpoint_00000009.pt", "checkpoint_00000012.pt.superseded", "checkpoint_00000014.pt.superseded",
    ]  # fmt: skip


def test_a_new_training_refuses_a_folder_with_checkpoints_of_another(tmp_path):
    small_training([TrainingCheckpoint(tmp_path / "first")], max_epochs=1)
    with pytest.raises(
        CheckpointError, match=r"of another run, the newest is checkpoint_00000003\.pt: continue that run"
    ):
        small_training([TrainingCheckpoint(tmp_path / "first")])
    small_training([TrainingCheckpoint(tmp_path / "second")], max_epochs=1)
    with pytest.raises(CheckpointError, match="choose another output_dir"):
        small_training([TrainingCheckpoint(tmp_path / "second", resume=tmp_path / "first")])


def flip_a_bit(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 16
    path.write_bytes(content)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    path = find_checkpoint(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        DamagedCheckpointError, match=r"checkpoint_00000003\.pt \(\d+ bytes\) cannot be read: it is truncated"
    ):
        small_training([TrainingCheckpoint(tmp_path, resume=path)])


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_with_a_warning(tmp_path, caplog):
    whole = small_training()
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=3)
    flip_a_bit(tmp_path / "checkpoint_00000009.pt")
    trainer = small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], seed=5)
    assert "checkpoint_00000009.pt" in caplog.text
    assert "is truncated or damaged" in caplog.text
    assert same_weights(weights(trainer), weights(whole))
    assert "checkpoint_00000009.pt.damaged" in files(tmp_path)


def test_when_every_checkpoint_is_damaged_training_does_not_silently_begin_anew(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=2)
    for path in tmp_path.glob("*.pt"):
        flip_a_bit(path)
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"each of its 2 checkpoints is truncated or damaged.*start anew"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)])
    assert files(tmp_path) == before


def test_a_second_training_in_a_folder_is_refused_and_the_first_goes_on(tmp_path):
    def start_another(engine) -> None:
        with pytest.raises(CheckpointError, match=r"Another training writes its .* in use by process \d+ on .*choose"):
            small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)])

    trainer = small_trainer([TrainingCheckpoint(tmp_path)])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=4), start_another)
    trainer.run()
    assert trainer.state.iteration == 14
    assert files(tmp_path) == [f"checkpoint_000000{number}.pt" for number in ("09", "12", "14")]


def test_a_checkpoint_of_an_older_version_is_refused_with_what_has_changed(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    path = find_checkpoint(tmp_path)
    older = torch.load(path) | {"format": "monai_ext training checkpoint, version 1"}
    torch.save(older, path)
    with pytest.raises(CheckpointError, match=r"older version.*views were drawn by another rule.*queue.*start anew"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)])


def test_a_file_of_weights_is_refused(tmp_path):
    torch.save(SmallPainter().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="no training checkpoint of this project"):
        small_training([TrainingCheckpoint(tmp_path / "out", resume=tmp_path / "weights.pt")])


def test_a_file_with_arbitrary_objects_is_refused_without_running_them(tmp_path):
    torch.save({"format": Path("x")}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no training checkpoint of this project"):
        small_training([TrainingCheckpoint(tmp_path / "out", resume=tmp_path / "other.pt")])


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"resumed from .*missing: it does not exist"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path / "missing")])


def test_another_method_is_refused_by_name(tmp_path):
    class OtherMethod(SmallPainter):
        pass

    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    with pytest.raises(CheckpointError, match="of the method SmallPainter, but this training is of OtherMethod"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], network=OtherMethod())


def test_another_architecture_is_refused_with_what_differs(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    wider, deeper = SmallPainter(width=8), SmallPainter()
    deeper.encoder.append(torch.nn.Conv2d(4, 4, 1))
    with pytest.raises(CheckpointError, match=r"mask_token \(1, 4, 1, 1\) instead of \(1, 8, 1, 1\).* and 5 more"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], network=wider)
    with pytest.raises(
        CheckpointError, match=r"Missing in it: encoder\.3\.weight, encoder\.3\.bias; not in the network: n"
    ):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], network=deeper)


def test_other_data_or_another_batch_is_refused(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    with pytest.raises(CheckpointError, match="it had seed 2 over 12 slices, now it has seed 2 over 11"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], images=small_images(11))
    length = type(small_length())(12, batch_size=6, images_seen=56)
    with pytest.raises(CheckpointError, match="batch size was 4 and is now 6"):
        small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], length=length)


def test_another_optimizer_is_refused(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    trainer = small_trainer([TrainingCheckpoint(tmp_path, resume=tmp_path)])
    trainer.optimizer = torch.optim.SGD(trainer.network.parameters(), lr=0.1)
    with pytest.raises(CheckpointError, match="optimiser was LAMB and is now SGD"):
        trainer.run()


def test_a_longer_training_may_be_resumed_and_that_is_logged(tmp_path, caplog):
    small_training([TrainingCheckpoint(tmp_path)])
    with caplog.at_level(logging.WARNING):
        trainer = small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], length=small_length(72))
    assert "is now 18 iterations" in caplog.text
    assert trainer.state.iteration == 18


def test_a_full_disk_stops_training_with_the_last_good_checkpoint_intact(tmp_path):
    trainer = small_trainer([TrainingCheckpoint(tmp_path, keep_last=1)])
    with full_disk() as fill:
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=4), fill)
        with pytest.raises(TrainingStoppedError) as raised:
            trainer.run()
    good = tmp_path / "checkpoint_00000003.pt"
    assert str(raised.value) == (
        f"Training stopped at iteration 6: no checkpoint can be written to {tmp_path}/checkpoint_00000006.pt (File too "
        f"large). The last good checkpoint is {good}. Free space or choose another output_dir, and continue with "
        f"resume={good}."
    )
    assert files(tmp_path) == [good.name]
    assert torch.load(good, weights_only=True)["progress"]["iteration"] == 3


def test_a_path_that_cannot_be_a_folder_is_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    trainer = small_trainer([TrainingCheckpoint(tmp_path / "file" / "output")])
    with pytest.raises(TrainingStoppedError, match=r"iteration 0: no checkpoint can be written to .*Not a directory"):
        trainer.run()
    assert trainer.state.iteration == 0


def test_a_read_only_folder_is_refused_before_training(tmp_path, unprivileged):
    folder = tmp_path / "read_only"
    folder.mkdir(mode=0o555)
    with pytest.raises(TrainingStoppedError, match=r"can be written to .*read_only \(Permission denied\)"):
        small_training([TrainingCheckpoint(folder)])
    assert files(folder) == []


@pytest.fixture
def unprivileged(tmp_path):
    """An ordinary user, whom permissions stop; root, whom they do not, becomes one for the time of the test."""
    if os.geteuid() != 0:
        yield
        return
    opened = [folder for folder in tmp_path.parents if not folder.stat().st_mode & 0o001]
    modes = [folder.stat().st_mode for folder in opened]
    for folder in opened:
        folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)
    os.seteuid(65534)
    yield
    os.seteuid(0)
    for folder, mode in zip(opened, modes, strict=True):
        folder.chmod(mode)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    trainer = small_trainer([TrainingCheckpoint(tmp_path)])

    def spoil(engine) -> None:
        engine.network.encoder[1].running_mean[0] = float("inf")

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=5), spoil)
    with pytest.raises(TrainingStoppedError, match=r"iteration 6: encoder\.1\.running_mean holds .*_00000003\.pt"):
        trainer.run()
    assert files(tmp_path) == ["checkpoint_00000003.pt"]


def test_what_a_killed_writer_left_is_removed_at_the_start(tmp_path):
    small_training([TrainingCheckpoint(tmp_path)], max_epochs=1)
    shutil.copy(find_checkpoint(tmp_path), tmp_path / ".checkpoint_00000006.pt.1.partial")
    small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], max_epochs=2)
    assert files(tmp_path) == ["checkpoint_00000003.pt", "checkpoint_00000006.pt"]


@pytest.mark.parametrize("option", [{"keep_last": 0}, {"every_epochs": 0}, {"every_iterations": 0}])
def test_numbers_below_one_are_refused(tmp_path, option):
    with pytest.raises(ValueError, match="0"):
        TrainingCheckpoint(tmp_path, **option)


@pytest.mark.parametrize(
    ("resume", "point"), [(None, None), ("last", "/runs/a"), ("/runs/a/best.pt", "/runs/a/best.pt")]
)
def test_training_continues_from_what_was_named(resume, point):
    handler = TrainingCheckpoint("/runs/a", resume=resume)
    assert handler.resume == (None if point is None else Path(point))


def test_a_job_that_always_resumes_its_own_folder_begins_when_there_is_nothing_yet(tmp_path):
    folder = tmp_path / "run"
    assert TrainingCheckpoint(folder, resume=str(folder)).resume is None
    folder.mkdir()
    assert TrainingCheckpoint(folder, resume=str(folder)).resume == folder


def test_a_trainer_that_runs_on_keeps_its_checkpoints(tmp_path):
    network = SmallPainter()
    trainer = small_trainer([TrainingCheckpoint(tmp_path, best_metric=None)], network=network)
    trainer.state.max_epochs = 2
    trainer.run()
    trainer.state.max_epochs = 3
    trainer.run()
    assert trainer.state.epoch == 3
    assert len(list(tmp_path.glob("checkpoint_*.pt"))) == 3
