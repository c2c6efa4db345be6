"""Computes one cell and writes its record."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_ext.study.cells.cell import Cell
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import write_record
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["MODULES", "hardware", "run_cell"]

MODULES = {
    "pretraining": "pretraining",
    "fine_tuning": "fine_tuning",
    "probe": "probe",
    "knn": "neighbours",
    "gray_levels": "gray_levels",
}
"""Of every protocol the module whose ``compute`` gives its results."""


def run_cell(cell: Cell, *, task: PreparedTask | None, folder: StudyFolder, device: str | None) -> None:
    """Compute a cell and write its record.

    Args:
        cell: what to compute.
        task: its data; None for a pre-training.
        folder: of the study.
        device: None for that which the bundle selects.
    """
    compute: Callable[..., tuple[Mapping[str, Any], Mapping[str, Any]]]
    compute = importlib.import_module(f"monai_ext.study.protocols.{MODULES[cell.protocol]}").compute
    started, worked = time.perf_counter(), time.process_time()
    results, provenance = compute(cell, task=task, folder=folder, device=device)
    measured = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - worked,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "peak_memory_mib": peak_memory_mib(),
        **hardware(),
        **provenance,
    }
    write_record(folder.records, cell, results=results, measured=measured)


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


@lru_cache(maxsize=1)
def hardware() -> dict[str, Any]:
    """Processor, accelerator, versions and code version of this process."""
    import monai
    import torch

    import monai_ext
    from monai_ext.tracking.provenance import source_tags

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "monai": monai.__version__,
            "monai_ext": monai_ext.__version__,
        },
        "code": source_tags(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
