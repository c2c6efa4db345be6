from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_ext.errors import TrainingStoppedError
from monai_ext.tracking.termination import TerminationWatch, is_gone, process_identity, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(128 + signal.SIGTERM), "KILLED"),
        (SystemExit(1), "FAILED"),
        (SystemExit("wrong folder"), "FAILED"),
        (ValueError("x"), "FAILED"),
        (TrainingStoppedError("the loss is nan"), "FAILED"),
        (MemoryError(), "FAILED"),
    ],
)
def test_what_ends_a_training_decides_the_status(error: BaseException, status: str) -> None:
    assert status_of(error) == status


def test_a_handler_that_somebody_else_installed_is_left_alone() -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: called.append(number))
    watch = TerminationWatch(lambda error: None)
    try:
        watch.start()
        os.kill(os.getpid(), signal.SIGTERM)
        assert called == [signal.SIGTERM]
    finally:
        watch.stop()
        signal.signal(signal.SIGTERM, before)


def test_a_handler_installed_later_is_not_removed() -> None:
    watch = TerminationWatch(lambda error: None)
    watch.start()

    def later(number: int, frame: object) -> None: ...

    signal.signal(signal.SIGTERM, later)
    try:
        watch.stop()
        assert signal.getsignal(signal.SIGTERM) is later
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code_of_child(act: Callable[[], None]) -> int:
    """Fork, let the child act and wait for a signal, and tell how it ended; it never outlives a minute."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            act()
            time.sleep(60)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_child_process_dies_of_sigterm_as_if_nothing_had_been_installed() -> None:
    watch = TerminationWatch(lambda error: None)
    watch.start()
    try:
        assert exit_code_of_child(lambda: os.kill(os.getpid(), signal.SIGTERM)) == -signal.SIGTERM
    finally:
        watch.stop()


def test_a_signal_that_is_ignored_as_nohup_does_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    watch = TerminationWatch(lambda error: None)
    try:
        watch.start()
        os.kill(os.getpid(), signal.SIGHUP)
        watch.stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_after_its_end_the_watch_acts_as_if_it_were_not_there_even_when_it_is_put_back() -> None:
    def put_back() -> None:
        watch = TerminationWatch(lambda error: None)
        watch.start()
        ours = signal.signal(signal.SIGTERM, lambda number, frame: None)
        watch.stop()
        signal.signal(signal.SIGTERM, ours)
        os.kill(os.getpid(), signal.SIGTERM)

    assert exit_code_of_child(put_back) == -signal.SIGTERM


def test_this_process_is_alive() -> None:
    assert not is_gone(process_identity())


def test_an_identity_names_neither_host_nor_user() -> None:
    import getpass
    import platform

    assert platform.node() not in process_identity()
    assert getpass.getuser() not in process_identity()


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert is_gone(process_identity().replace(f"/{os.getpid()}/", f"/{child.pid}/"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to tell when a process began")
def test_another_process_with_the_same_number_does_not_count() -> None:
    identity, _, started = process_identity().rpartition("/")
    assert is_gone(f"{identity}/{int(started) - 1}")


def test_a_boot_ago_everything_is_gone() -> None:
    machine, _, *rest = process_identity().split("/")
    assert is_gone("/".join([machine, "another", *rest]))


@pytest.mark.parametrize("identity", ["", "x", "x/y/z", "0123456789abcdef/a/1/2"])
def test_nothing_is_claimed_of_other_machines_or_of_other_tags(identity: str) -> None:
    assert not is_gone(identity)
