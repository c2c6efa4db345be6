"""Reads files in processes that may hang, crash or run out of memory without harm to anything else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.messages import Finished, Message, Reading, Stack, Task, TaskFunction
from monai_ext.data.ingestion.outcomes import Outcome
from monai_ext.decoders.serve import become_harmless
from monai_ext.parallel.patience import Patience, Verdict

__all__ = ["WorkerPool"]

_POLL_S = 1.0
_STRIKES = 2


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Task | None = None
    reading: bytes | None = None
    patience: Patience | None = None
    verdict: Verdict = Verdict.WAIT


class WorkerPool:
    """Runs tasks in worker processes and hands on what they send.

    A worker that computes for too long without a word is killed, one that dies is replaced; the file it was reading is
    finished as timed out or crashed, and the rest of its task is tried again. Where it is not certain that the file is
    to blame, it is tried once more: its worker stood still without computing (somebody may have paused it), or was
    killed from outside. Workers cannot allocate more than a limit, write no core dumps, and print nothing (decoders
    print values of elements). They end when this process ends.

    Args:
        function: does a task.
        workers: number of processes.
        timeout_s: longest silence of a worker, in seconds of its processor time.
        memory_bytes: what a worker may allocate besides what it starts with (Linux).
    """

    def __init__(self, function: TaskFunction, *, workers: int, timeout_s: float, memory_bytes: int) -> None:
        self._function, self._timeout_s, self._memory_bytes = function, timeout_s, memory_bytes
        self._workers: list[_Worker] = []
        self._judged_s = time.monotonic()
        for _ in range(workers):
            self._workers.append(self._start())

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            _end(worker)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Message]]:
        """Yield what the workers send about each task, in any order of tasks; files are dropped when finished."""
        waiting, again = iter(tasks), list[Task]()
        while True:
            for worker in self._workers:
                if worker.task is None:
                    self._give(worker, again.pop() if again else next(waiting, None))
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy:
                return
            for worker in self._ready(busy):
                task = worker.task
                if task is not None:
                    for message in self._hear(worker, again):
                        yield task, message

    def _give(self, worker: _Worker, task: Task | None) -> None:
        if task is not None:
            worker.task, worker.reading = task, None
            worker.patience = Patience(worker.process.pid or 0, limit_s=self._timeout_s)
            with suppress(OSError):  # it died while it had nothing to do; that is found out when it is listened to
                worker.connection.send(task)

    def _ready(self, busy: list[_Worker]) -> list[_Worker]:
        """Workers that sent something or died; those that have been silent for too long are killed, hence dead."""
        poll_s = min(_POLL_S, self._timeout_s)
        ready = wait([worker.connection for worker in busy], timeout=poll_s)
        is_time = time.monotonic() - self._judged_s >= poll_s  # others may send thousands of words meanwhile
        if is_time:
            self._judged_s = time.monotonic()
        for worker in busy:
            if is_time and worker.connection not in ready and worker.patience is not None:
                worker.verdict = worker.patience.judge()
            if worker.verdict is not Verdict.WAIT:
                worker.process.kill()
                worker.process.join()
        return [worker for worker in busy if worker.connection in ready or not worker.process.is_alive()]

    def _hear(self, worker: _Worker, again: list[Task]) -> Iterator[Message]:
        """Take one message; a dead worker is replaced, and its task goes to those that are tried again."""
        try:
            message = _receive(worker.connection)
        except (EOFError, OSError):
            yield from self._bury(worker, again)
            return
        if worker.patience is not None:
            worker.patience.heard()
        if message is None:
            worker.task = None
        elif isinstance(message, Reading):
            worker.reading = message.file
        else:
            if isinstance(message, Finished) and worker.task is not None:
                worker.task.drop(message.file)
            yield message

    def _bury(self, worker: _Worker, again: list[Task]) -> Iterator[Message]:
        task, guilty, verdict = worker.task, worker.reading, worker.verdict
        is_certain = verdict is Verdict.EXHAUSTED or (verdict is Verdict.WAIT and not _was_killed(worker))
        _end(worker)
        self._workers[self._workers.index(worker)] = self._start()
        if task is None:
            return
        reason = SkipReason.CRASH if verdict is Verdict.WAIT else SkipReason.TIMEOUT
        task.strikes += guilty is None
        files = [guilty] if guilty is not None and (is_certain or guilty in task.tried) else []
        task.tried.update([guilty] if guilty is not None else [])
        if task.strikes >= _STRIKES:
            files = [reference.file for reference in task.files]
        for file in files:
            task.drop(file)
            yield Finished(file, Outcome(reason.value))
        if task.files:
            again.append(task)

    def _start(self) -> _Worker:
        # Forking takes milliseconds where starting Python anew takes seconds; workers touch neither torch nor logging.
        context: Any = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        inherited = [ours, *(worker.connection for worker in self._workers)]
        arguments = (theirs, inherited, self._function, self._memory_bytes)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _was_killed(worker: _Worker) -> bool:
    """Whether somebody else ended a dead worker, such as a system that is short of memory."""
    worker.process.join(_POLL_S)  # one that only closed its pipe is still alive
    return worker.process.exitcode in (-signal.SIGKILL, -signal.SIGTERM)


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def _receive(connection: Connection) -> Message | None:
    message = connection.recv()
    if isinstance(message, Stack):
        message.content = replace(message.content, frame=connection.recv_bytes())
    return message


def _send(connection: Connection, message: Message | None) -> None:
    """Send a message; the bytes of a stack follow it, since pickling would copy them twice."""
    if isinstance(message, Stack):
        connection.send(replace(message, content=replace(message.content, frame=b"")))
        connection.send_bytes(message.content.frame)
    else:
        connection.send(message)


def _serve(connection: Connection, inherited: list[Connection], function: TaskFunction, memory_bytes: int) -> None:
    """Life of a worker: do tasks until the other side is gone."""
    for other in inherited:  # or this worker would keep the others' ends open when the parent is killed
        other.close()
    become_harmless(memory_bytes)
    try:
        while True:
            task = connection.recv()
            for message in function(task):
                _send(connection, message)
                del message
            _send(connection, None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)
