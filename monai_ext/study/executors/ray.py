"""Cells on a Ray cluster: a job is a Ray task, and Ray starts it again elsewhere when its node is lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

from monai_ext.errors import StudyError
from monai_ext.study.executors.job import Job, Outcome
from monai_ext.study.executors.local import LocalExecutor

__all__ = ["RayExecutor"]

logger = logging.getLogger(__name__)

_LOST_NODES = 5


class RayExecutor:
    """Runs each job as a task of a Ray cluster, whose nodes share the study's folder and the data.

    A task computes its job in a process of its own, as :class:`LocalExecutor` does, so that cells run the same wherever
    they run. A task whose node is lost is started again on another one; what has a record by then is not computed anew.

    Args:
        address: of a running cluster, such as ``"10.0.0.1:6379"``; None starts one on this machine.
        workers: jobs at a time on each node of a cluster that is started here; a running cluster has as many as its
            CPUs allow.
        memory_limit_mib: as of :class:`LocalExecutor`.
        threads: of torch in each cell, each being a CPU to Ray.
        gpus: GPUs of each job; a fraction lets several share one.

    Raises:
        StudyError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        workers: int = 1,
        memory_limit_mib: float | None = None,
        threads: int = 1,
        gpus: float = 0.0,
    ) -> None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # no token file in the home folder
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise StudyError(
                'The Ray executor needs Ray, which is not installed: pip install "monai-ext[ray]", or leave --executor'
                " away, which computes in processes of this machine."
            ) from error
        self._ray: Any = ray
        self.memory_limit_mib, self.threads, self.gpus = memory_limit_mib, threads, gpus
        paths = os.environ.get("PYTHONPATH", "")
        settings: dict[str, Any] = {"runtime_env": {"env_vars": {"PYTHONPATH": paths}}, "log_to_driver": False}
        try:
            if address is None:
                ray.init(num_cpus=workers * threads, include_dashboard=False, **settings)
            else:
                ray.init(address=address, **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise StudyError(
                f"There is no Ray cluster at {address or 'this machine'}: {str(error).splitlines()[0]} Start one with"
                " `ray start --head`, or leave --ray-address away."
            ) from error

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Give the outcome of each job as soon as it has ended; what runs is cancelled when the caller stops early."""
        ray = self._ray
        task = ray.remote(max_retries=_LOST_NODES, num_cpus=self.threads, num_gpus=self.gpus)(_run_there)
        shared: dict[int, Any] = {}
        running: dict[Any, Job] = {}
        for job in jobs:
            if id(job.task) not in shared:
                shared[id(job.task)] = ray.put(job.task)
            reference = task.remote(job.cells, shared[id(job.task)], job.folder, self.memory_limit_mib, self.threads)
            running[reference] = job
        try:
            while running:
                (ready,), _ = ray.wait(list(running), num_returns=1)
                job = running.pop(ready)
                yield self._outcome(ready, job)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        try:
            errors, ended = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(job, ended=f"Ray could not run it: {str(error).splitlines()[0]}")
        return Outcome(job, errors=errors, ended=ended)


def _run_there(
    cells: Any, task: Any, folder: str, memory_limit_mib: float | None, threads: int
) -> tuple[dict[str, str], str]:
    """What a node does with a job: a forked process for it, beside Ray's own."""
    executor = LocalExecutor(workers=1, memory_limit_mib=memory_limit_mib, threads=threads)
    (outcome,) = executor.run([Job(tuple(cells), task, folder)])
    return outcome.errors, outcome.ended
