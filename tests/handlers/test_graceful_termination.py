"""SIGTERM, Ctrl-C and a lost terminal end training with a checkpoint; a second signal ends it at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import pytest
import torch
from ignite.engine import Events

from helpers.small_training import same_weights, small_images, small_trainer, small_training, weights
from monai_ext.data import StreamSampler, slice_loader
from monai_ext.handlers import GracefulTermination, TrainingCheckpoint, find_checkpoint


@pytest.fixture(autouse=True)
def started_in_a_terminal():
    """The handlers of a process in the foreground; one in the background may have been started to ignore signals."""
    before = [(number, signal.signal(number, handler)) for number, handler in HANDLERS.items()]
    yield
    for number, handler in before:
        signal.signal(number, handler)


HANDLERS = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL}


def send(number: int):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_finishes_the_iteration_saves_and_exits_with_its_status(tmp_path, number, status):
    raised = []
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=5), send(number))
    trainer.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: raised.append(error))
    with pytest.raises(SystemExit) as exit_:
        trainer.run()
    assert exit_.value.code == status
    assert raised == [exit_.value]
    assert find_checkpoint(tmp_path).name == "checkpoint_00000005.pt"
    assert {number: signal.getsignal(number) for number in HANDLERS} == HANDLERS


def test_after_sigterm_a_resumed_training_ends_with_the_same_weights(tmp_path):
    whole = small_training()
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=5), send(signal.SIGTERM))
    with pytest.raises(SystemExit):
        trainer.run()
    resumed = small_training([TrainingCheckpoint(tmp_path, resume=tmp_path)], seed=5)
    assert same_weights(weights(resumed), weights(whole))


def test_a_second_ctrl_c_stops_at_once_and_leaves_only_whole_files(tmp_path):
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    for _ in range(2):
        trainer.add_event_handler(Events.ITERATION_STARTED(once=5), send(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert os.listdir(tmp_path) == ["checkpoint_00000003.pt"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_training_that_was_started_by_nohup_goes_on_without_its_terminal(tmp_path):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.add_event_handler(Events.ITERATION_STARTED(once=5), send(signal.SIGHUP))
    trainer.run()
    assert trainer.state.iteration == 14


def test_workers_that_hear_ctrl_c_too_read_on_until_the_training_has_saved(tmp_path):
    images = small_images()
    loader = slice_loader(images, batch_size=4, sampler=StreamSampler(images, seed=2), num_workers=1)
    trainer = small_trainer([TrainingCheckpoint(tmp_path), GracefulTermination()])
    trainer.data_loader = loader

    def press_ctrl_c() -> None:
        assert multiprocessing.active_children()
        for number in (signal.SIGINT, signal.SIGHUP):
            for worker in multiprocessing.active_children():
                os.kill(worker.pid, number)
        os.kill(os.getpid(), signal.SIGINT)

    trainer.add_event_handler(Events.ITERATION_STARTED(once=2), press_ctrl_c)
    trainer.add_event_handler(Events.ITERATION_STARTED(once=5), lambda: pytest.fail("went on after Ctrl-C"))
    with pytest.raises(SystemExit):
        trainer.run()
    assert find_checkpoint(tmp_path).name == "checkpoint_00000002.pt"


def test_ctrl_c_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    """Without the handler, or at the second Ctrl-C."""
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
