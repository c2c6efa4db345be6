"""What runs in the process of a job."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from monai_ext.study.executors.job import Job
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import record_path

__all__ = ["preload", "run_job"]

Tell = Callable[[str, str], object]


def preload() -> None:
    """Import what cells need, so that forked processes have it already."""
    import matplotlib
    import sklearn.linear_model  # noqa: F401
    import torch
    import torch._dynamo  # the first optimiser of a process imports it, which takes a second

    import monai_ext.bundle
    import monai_ext.data
    import monai_ext.handlers
    import monai_ext.tracking  # noqa: F401
    from monai_ext.study.protocols import fine_tuning, gray_levels, neighbours, pretraining, probe  # noqa: F401

    matplotlib.use("Agg")
    torch.set_num_threads(1)


def run_job(job: Job, tell: Tell, *, threads: int = 1, end_with_parent: bool = True) -> None:
    """Compute the cells of a job that have no record yet.

    Args:
        job: what to compute.
        tell: is called with a cell's name and its error, or with an empty text.
        threads: of torch.
        end_with_parent: end when the runner's process is gone, so that nobody else computes the same cell beside.
    """
    import torch

    from monai_ext.study.protocols import run_cell

    if end_with_parent:
        _end_with_parent()
    torch.set_num_threads(threads)
    folder = StudyFolder(job.folder)
    for cell in job.cells:
        if record_path(folder.records, cell.name).is_file():
            continue
        log = folder.path / "logs" / f"{cell.name}.log"
        try:
            with _output_to(log):
                run_cell(cell, task=job.task, folder=folder, device=job.device)
        except (Exception, SystemExit) as error:  # one cell's failure is that cell's: it is told, others go on
            _note(log, error)
            tell(cell.name, _sentence(error, log))
        else:
            log.unlink(missing_ok=True)
            tell(cell.name, "")


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send what is written meanwhile into a file, that of libraries too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _note(log: Path, error: BaseException) -> None:
    import traceback

    with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))


def _sentence(error: BaseException, log: Path) -> str:
    """The message of the innermost error, since MONAI wraps each in several others."""
    inner = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    text = str(inner).strip() or repr(inner)
    return f"{type(inner).__name__}: {text.splitlines()[0][:500]} (details in {log})"
