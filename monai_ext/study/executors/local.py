"""Cells in processes of this machine, forked from one that has imported everything and holds nothing else."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from monai_ext.study.executors import child
from monai_ext.study.executors.job import Job, Outcome

__all__ = ["LocalExecutor"]

_LOOK_EVERY_S = 0.5
_MIB = 2**20


@dataclass
class _Running:
    process: Any
    outcome: Outcome
    messages: Connection
    too_large_mib: float = 0.0


class LocalExecutor:
    """Runs each job in a process of its own.

    The processes are forked from a server that imported PyTorch, MONAI and this package once, which takes seconds; a
    fork takes milliseconds. The server never computes, so that every cell begins in the same state.

    Args:
        workers: processes at a time.
        memory_limit_mib: resident memory beyond which a process is ended; None for no limit.
        threads: of torch in each process.
        devices: such as ``["cuda:0", "cuda:1"]``, given to the workers in turn; several workers may share one. None
            leaves it to the bundle.

    Raises:
        ValueError: no worker, or a limit that is not positive.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        memory_limit_mib: float | None = None,
        threads: int = 1,
        devices: list[str] | None = None,
    ) -> None:
        if workers < 1 or threads < 1 or (memory_limit_mib is not None and memory_limit_mib <= 0):
            raise ValueError(
                f"Workers and threads are at least 1 and a memory limit is above 0; received {workers}, {threads} and"
                f" {memory_limit_mib}."
            )
        self.workers = workers
        self.memory_limit_mib = memory_limit_mib
        self.threads = threads
        self.devices: list[str | None] = list(devices) if devices else [None]
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["monai_ext.study.executors.preloaded"])

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Give the outcome of each job as soon as it has ended; processes are ended when the caller stops early."""
        waiting, running = iter(jobs), dict[int, _Running]()
        try:
            while True:
                for slot in range(self.workers):
                    job = next(waiting, None) if slot not in running else None
                    if job is not None:
                        running[slot] = self._start(job, self.devices[slot % len(self.devices)])
                if not running:
                    return
                for slot in self._ended(running):
                    yield self._finish(running.pop(slot))
        finally:
            for left in running.values():
                left.process.kill()
                left.process.join()

    def _start(self, job: Job, device: str | None) -> _Running:
        placed = job if device is None else Job(job.cells, job.task, job.folder, device)
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(placed, sender, self.threads), daemon=False)
        process.start()
        sender.close()
        return _Running(process, Outcome(job), receiver)

    def _ended(self, running: dict[int, _Running]) -> list[int]:
        """Slots whose process has ended; messages are read meanwhile, and memory is looked at."""
        while True:
            wait([worker.process.sentinel for worker in running.values()], timeout=_LOOK_EVERY_S)
            for worker in running.values():
                _read(worker)
                self._look_at_memory(worker)
            ended = [slot for slot, worker in running.items() if not worker.process.is_alive()]
            if ended:
                return ended

    def _look_at_memory(self, worker: _Running) -> None:
        import psutil

        if self.memory_limit_mib is None:
            return
        try:
            used = psutil.Process(worker.process.pid).memory_info().rss / _MIB
        except psutil.Error:
            return
        if used > self.memory_limit_mib:
            worker.too_large_mib = used
            worker.process.kill()

    def _finish(self, worker: _Running) -> Outcome:
        worker.process.join()
        _read(worker)
        worker.messages.close()
        code = worker.process.exitcode
        if worker.too_large_mib:
            worker.outcome.ended = (
                f"its process used {worker.too_large_mib:.0f} MiB, more than the limit of {self.memory_limit_mib:.0f} "
                "MiB, and was ended: raise --memory-limit, or take smaller images or batches."
            )
        elif code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (often because memory ran out: fewer --workers)" if name == "SIGKILL" else ""
            worker.outcome.ended = f"its process was ended by {name}{hint}."
        elif code:
            worker.outcome.ended = f"its process ended with status {code}."
        return worker.outcome


def _read(worker: _Running) -> None:
    with contextlib.suppress(EOFError, OSError):  # the process has ended and said everything
        while worker.messages.poll():
            name, error = worker.messages.recv()
            if error:
                worker.outcome.errors[name] = error


def _work(job: Job, sender: Connection, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's, which ends its processes
    child.run_job(job, lambda name, error: sender.send((name, error)), threads=threads)
