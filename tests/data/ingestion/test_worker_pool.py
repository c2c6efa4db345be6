"""Workers may hang, crash or vanish: every file of every task is finished all the same, once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_ext.data.ingestion.messages import FileRef, Finished, Message, Reading, Stack, Task
from monai_ext.data.ingestion.outcomes import STORED, Outcome
from monai_ext.data.ingestion.worker_pool import WorkerPool
from monai_ext.data.store.codec import PackedSeries, pack_series

COUNT = 12


def worker(misdeed: Callable[[], Any], *, guilty: str = "5", reads: bool = True) -> Callable[[Task], Iterator[Message]]:
    """Finishes files in order, and misbehaves at one of them."""

    def work(task: Task) -> Iterator[Message]:
        for entry in task.files:
            if reads:
                yield Reading(entry.file)
            if entry.name == guilty:
                misdeed()
            yield Finished(entry.file, Outcome(STORED))

    return work


def outcomes(function: Any, *, together: int = 4, timeout_s: float = 30.0) -> dict[bytes, str]:
    files = [FileRef(str(number).encode(), str(number)) for number in range(COUNT)]
    tasks = [Task("scan", files[at : at + together]) for at in range(0, COUNT, together)]
    seen: dict[bytes, str] = {}
    pool = WorkerPool(function, workers=2, timeout_s=timeout_s, memory_bytes=2**28)
    with pool:
        for _, message in pool.run(tasks):
            assert isinstance(message, Finished)
            assert message.file not in seen
            seen[message.file] = str(message.outcome)
    assert len(seen) == COUNT
    return seen


@pytest.mark.parametrize(
    ("misdeed", "code"),
    [
        (lambda: None, STORED),
        (lambda: os._exit(3), "crash"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "crash"),
        (lambda: time.sleep(60), "timeout"),
        (lambda: next(number for number in count() if number < 0), "timeout"),
        (lambda: 1 // 0, "crash"),
        (lambda: np.ones(2**30, np.uint8), "crash"),
    ],
    ids=["none", "exit", "segfault", "sleep", "endless loop", "error", "memory"],
)
def test_only_the_guilty_file_is_lost(misdeed: Callable[[], Any], code: str) -> None:
    found = outcomes(worker(misdeed), timeout_s=1.0 if code == "timeout" else 100.0)
    assert found.pop(b"5") == code
    assert set(found.values()) == {STORED}


@pytest.mark.parametrize("stopping", [signal.SIGSTOP, signal.SIGKILL], ids=["paused", "killed from outside"])
def test_a_file_whose_worker_was_stopped_by_somebody_is_tried_once_more(tmp_path: Path, stopping: int) -> None:
    def stop_once() -> None:
        if not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            os.kill(os.getpid(), stopping)

    found = outcomes(worker(stop_once), timeout_s=1.0 if stopping == signal.SIGSTOP else 100.0)
    assert (set(found.values()), (tmp_path / "stopped").exists()) == ({STORED}, True)


def test_a_task_that_kills_workers_without_a_culprit_is_given_up() -> None:
    found = outcomes(worker(lambda: os._exit(1), reads=False))
    assert [file for file, code in sorted(found.items()) if code == "crash"] == [b"5", b"6", b"7"]


def test_stacks_arrive_as_they_were_sent() -> None:
    def packed(number: int) -> PackedSeries:
        noise = np.random.default_rng(number).integers(-1000, 1000, (2, 300, 400)).astype(np.int16)
        return pack_series(noise, [{"patient_id": f"patient-{number}"}] * 2)

    def work(task: Task) -> Iterator[Message]:
        for entry in task.files:
            yield Stack([b""], entry.file, {}, {}, [entry.file], packed(int(entry.name)))

    tasks = [Task("dicom", [FileRef(b"", str(number))]) for number in range(6)]
    with WorkerPool(work, workers=3, timeout_s=30, memory_bytes=2**28) as pool:
        received = {
            int(task.files[0].name): message.content for task, message in pool.run(tasks) if isinstance(message, Stack)
        }
    assert received == {number: packed(number) for number in range(6)}


def test_workers_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    outcomes(worker(lambda: os.write(2, b"SECRET")))
    assert capfd.readouterr() == ("", "")


def test_a_pool_can_be_used_twice() -> None:
    files = [FileRef(b"1", "1")]
    with WorkerPool(worker(lambda: None), workers=1, timeout_s=9, memory_bytes=2**28) as pool:
        for _ in range(2):
            assert len(list(pool.run([Task("scan", files)]))) == 1
