"""Runs a study: what has a record is done, what has none is computed, what fails is tried once more."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from monai_ext.errors import StudyError
from monai_ext.study.cells.cell import Cell
from monai_ext.study.executors.job import Executor, Outcome
from monai_ext.study.jobs import make_jobs
from monai_ext.study.preparation import PreparedStudy
from monai_ext.study.records.index import foreign_records, write_index
from monai_ext.study.records.record import record_path

__all__ = ["StudyResult", "run_study"]

logger = logging.getLogger(__name__)

_TRIES, _WARNINGS_SHOWN = 2, 5
_FULL = "No space left on device"
Finished = Callable[[Cell], object]


@dataclass
class StudyResult:
    """What a run of a study came to.

    Attributes:
        cells: all of the plan.
        reused: names of records that were there before.
        computed: names of records that were made.
        failed: reason by name.
    """

    cells: list[Cell]
    reused: set[str]
    computed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)


def run_study(
    study: PreparedStudy,
    executor: Executor,
    *,
    finished: Finished = lambda cell: None,
    reused: Callable[[int], object] = lambda count: None,
) -> StudyResult:
    """Work a study off. The caller holds the folder's lock.

    Args:
        study: prepared.
        executor: computes jobs.
        finished: is called with every cell whose record was made.
        reused: is called with numbers of cells that have records already.

    Raises:
        StudyError: a record that is needed was edited or is damaged, or the disk is full.
    """
    folder = study.folder
    result = StudyResult(cells=[], reused=set())
    write_index(folder, [*study.pretraining, *study.expected()])
    _work_off(study, study.pretraining, executor, result, finished)
    reused(len(result.reused))
    cells = study.cells()
    result.cells = [*study.pretraining, *cells]
    write_index(folder, [*study.pretraining, *study.expected()])
    _tell_strangers(study, result.cells)
    reused(len({cell.name for cell in cells} - {cell.name for cell in _missing(study, cells)}))
    _work_off(study, cells, executor, result, finished)
    return result


def _missing(study: PreparedStudy, cells: Iterable[Cell]) -> list[Cell]:
    """Each cell without a record once."""
    unique = {cell.name: cell for cell in reversed(list(cells))}
    return [cell for cell in reversed(unique.values()) if not record_path(study.folder.records, cell.name).is_file()]


def _work_off(
    study: PreparedStudy, cells: Sequence[Cell], executor: Executor, result: StudyResult, finished: Finished
) -> None:
    missing = _missing(study, cells)
    there = {cell.name for cell in cells} - {cell.name for cell in missing}
    for name in sorted(there):
        study.folder.read(name)
        study.folder.forget_failure(name)
    result.reused |= there
    _tell_reused(cells, there)
    tries: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    while missing:
        for cell in missing:
            study.folder.forget_failure(cell.name)
        for outcome in executor.run(make_jobs(missing, study.tasks, study.folder)):
            done = [cell for cell in outcome.job.cells if record_path(study.folder.records, cell.name).is_file()]
            result.computed |= {cell.name for cell in done}
            for cell in done:
                finished(cell)
            _count_tries(outcome, {cell.name for cell in done}, tries, reasons)
        missing = [cell for cell in _missing(study, missing) if tries[cell.name] < _TRIES]
    for cell in _missing(study, cells):
        _give_up(study, cell, reasons, result)


def _count_tries(outcome: Outcome, done: set[str], tries: Counter[str], reasons: dict[str, str]) -> None:
    """A cell with an error was tried; of a process that was ended, the cell it was at."""
    left = [cell for cell in outcome.job.cells if cell.name not in done]
    tried = [cell for cell in left if cell.name in outcome.errors]
    untried = [cell for cell in left if cell.name not in outcome.errors]
    for cell in [*tried, *untried[:1]]:
        tries[cell.name] += 1
        reasons[cell.name] = outcome.reason(cell)
        if _FULL in reasons[cell.name]:
            raise StudyError(
                f"The disk is full: {cell.label} could not be written. Records that are there stay as they are: free"
                " space and run the study again, which goes on where it stopped."
            )
        if len(reasons) <= _WARNINGS_SHOWN:
            again = ", it is tried again" if tries[cell.name] < _TRIES else ""
            logger.warning("%s failed%s: %s", cell.label, again, reasons[cell.name])


def _give_up(study: PreparedStudy, cell: Cell, reasons: dict[str, str], result: StudyResult) -> None:
    reason = reasons.get(cell.name, "it was not tried.")
    result.failed[cell.name] = reason
    study.folder.note_failure(cell.name, {"cell": cell.label, "error": reason})


def _tell_reused(cells: Sequence[Cell], there: set[str]) -> None:
    counts = Counter((cell.protocol, cell.task or cell.method) for cell in cells if cell.name in there)
    for (protocol, of), count in sorted(counts.items()):
        total = sum(1 for cell in cells if (cell.protocol, cell.task or cell.method) == (protocol, of))
        logger.info("%s of %s: %d of %d cells have records already and are used again.", protocol, of, count, total)


def _tell_strangers(study: PreparedStudy, cells: Sequence[Cell]) -> None:
    strangers, by_version = foreign_records(study.folder, cells)
    for version, names in by_version.items():
        logger.warning(
            "%d records of these cells were made by version %s of the protocols. Numbers of different versions are not"
            " mixed: the cells are computed again; `study clean --records` deletes the old ones.",
            len(names),
            version,
        )
    rest = len(strangers) - sum(map(len, by_version.values()))
    if rest:
        logger.info("%d records belong to no cell of this plan; they stay, and are not in the report.", rest)
