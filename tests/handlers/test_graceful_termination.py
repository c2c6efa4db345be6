"""SIGTERM ends training with a checkpoint, Ctrl-C without ado."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from ignite.engine import Events

from helpers.small_training import same_weights, small_trainer, small_training, weights
from monai_ext.handlers import GracefulTermination, TrainingCheckpoint, find_checkpoint


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Python's own handler of Ctrl-C, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int):
    return lambda: os.kill(os.getpid(), number)


def test_sigterm_finishes_the_iteration_saves_and_exits_with_143(tmp_path):
    raised = []
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=5), send(signal.SIGTERM))
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: raised.append(error))
    with pytest.raises(SystemExit) as exit_:
        trainer.run()
    assert exit_.value.code == 143
    assert raised == [exit_.value]
    assert find_checkpoint(tmp_path).name == "checkpoint_00000005.pt"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_after_sigterm_a_resumed_training_ends_with_the_same_weights(tmp_path):
    whole = small_training()
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=5), send(signal.SIGTERM))
    with pytest.raises(SystemExit):
        trainer.run()
    resumed = small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], seed=5)
    assert same_weights(weights(resumed), weights(whole))


def test_ctrl_c_passes_through_and_leaves_only_whole_files(tmp_path):
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=5), send(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert os.listdir(tmp_path) == ["checkpoint_00000003.pt"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_ctrl_c_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    save = torch.save

    def interrupted_save(content, file) -> None:
        save(content, file)
        if content["progress"]["iteration"] == 6:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(torch, "save", interrupted_save)
    with pytest.raises(KeyboardInterrupt):
        small_training([TrainingCheckpoint(tmp_path, keep_last=1)])
    assert os.listdir(tmp_path) == ["checkpoint_00000003.pt"]


def test_the_handler_of_before_is_back_when_training_has_ended():
    def own(number, frame) -> None: ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        small_training([GracefulTermination()], max_epochs=1)
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_of_the_main_thread_training_runs_without_it():
    trainers = []
    thread = threading.Thread(target=lambda: trainers.append(small_training([GracefulTermination()], max_epochs=1)))
    thread.start()
    thread.join()
    assert trainers[0].state.iteration == 3
