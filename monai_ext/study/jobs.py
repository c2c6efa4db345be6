"""From cells that have no record to jobs: what shares features is computed by one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path

from monai_ext.study.cells.cell import Cell
from monai_ext.study.executors.job import Job
from monai_ext.study.protocols.features import feature_key
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks import PreparedTask

__all__ = ["make_jobs"]

_ALONE = ("pretraining", "fine_tuning")
_MOST = 200


def make_jobs(cells: Iterable[Cell], tasks: Mapping[str, PreparedTask], folder: StudyFolder) -> list[Job]:
    """A job for every training, long ones first, and jobs of up to 200 cells for what is computed from features.

    Args:
        cells: without record.
        tasks: by name.
        folder: of the study.
    """
    alone: list[Cell] = []
    sharing: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.protocol in _ALONE:
            alone.append(cell)
        else:
            sharing.setdefault(feature_key(cell), []).append(cell)
    alone.sort(key=lambda cell: -_training_images(cell, tasks))
    groups = [[cell] for cell in alone]
    parts = [[all_of[first : first + _MOST] for first in range(0, len(all_of), _MOST)] for all_of in sharing.values()]
    # The first part of each computes its features. All first parts come first, so that no worker waits for another's.
    groups += [part for turn in zip_longest(*parts) for part in turn if part]
    return [Job(tuple(group), tasks.get(group[0].task), str(Path(folder.path))) for group in groups]


def _training_images(cell: Cell, tasks: Mapping[str, PreparedTask]) -> int:
    task = tasks.get(cell.task)
    return 0 if task is None else len(task.section(cell.size, fold=cell.fold, subset=cell.subset))
