"""What a study will take: cells, hours and disk, from records that are there or from cells that are timed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monai_ext.study.cells.cell import Cell
from monai_ext.study.executors.job import Executor, Job
from monai_ext.study.preparation import PreparedStudy
from monai_ext.study.protocols.features import feature_key
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import record_path

__all__ = ["Estimated", "estimate_study"]

_TRAINED = ("fine_tuning", "pretraining")
_BATCH = 32
_PER_IMAGE = 90
"""Bytes of one test image in a record: two pseudonyms, label, and 11 bytes for each class besides."""


@dataclass
class Estimated:
    """One protocol on one task (or the pre-training of one method).

    Attributes:
        protocol, of: what.
        cells, missing: numbers of cells.
        seconds: for those that are missing, on one worker; None where nothing was timed.
        disk_bytes: of all records.
        basis: what the time rests on.
    """

    protocol: str
    of: str
    cells: int
    missing: int
    seconds: float | None
    disk_bytes: int
    basis: str


def estimate_study(
    study: PreparedStudy, executor: Executor | None, *, timing: Callable[[str], object] = lambda part: None
) -> list[Estimated]:
    """Estimate every part of a study.

    Where there are records, their times count. Else the smallest cell of the part is timed, as ``executor`` runs it,
    with one and with three epochs (a pre-training with two budgets), so that start and images are told apart; a probe
    cell is computed as it is. Nothing of this is kept.

    Args:
        study: prepared.
        executor: runs the timed cells; None times nothing.
        timing: is called with what is being timed.
    """
    parts: dict[tuple[str, str], list[Cell]] = {}
    for cell in {cell.name: cell for cell in [*study.pretraining, *study.expected()]}.values():
        parts.setdefault((cell.protocol, cell.task or cell.method), []).append(cell)
    return [_estimate(study, executor, protocol, of, cells, timing) for (protocol, of), cells in parts.items()]


def _estimate(
    study: PreparedStudy,
    executor: Executor | None,
    protocol: str,
    of: str,
    cells: list[Cell],
    timing: Callable[[str], object],
) -> Estimated:
    folder = study.folder
    missing = [cell for cell in cells if not record_path(folder.records, cell.name).is_file()]
    done = [cell for cell in cells if record_path(folder.records, cell.name).is_file()]
    seconds: float | None = 0.0
    basis = "all done"
    if missing and done:
        passed = sum(_passes(study, cell) for cell in done)
        took = sum(float(folder.read(cell.name).measured["seconds"]) for cell in done)
        seconds = took / passed * sum(_passes(study, cell) for cell in missing)
        basis = f"{len(done)} records"
    elif missing:
        smallest = sorted(missing, key=lambda cell: _passes(study, cell))[:2]
        seconds, basis = None, "not timed"
        if executor is not None:
            timing(f"{protocol} of {of}")
            timed = _timed(study, executor, smallest)
            if timed is not None:
                start, per_pass = timed
                starts = len(missing) if protocol in _TRAINED else len({feature_key(cell) for cell in missing})
                seconds = start * starts + sum(per_pass * _passes(study, cell) for cell in missing)
                basis = "a timed cell"
    return Estimated(protocol, of, len(cells), len(missing), seconds, _disk(study, cells), basis)


def _passes(study: PreparedStudy, cell: Cell) -> float:
    """Images that go through the network, or one for a cell on features."""
    if cell.protocol == "pretraining":
        return float(cell.inputs["images_seen"] or 1)
    if cell.protocol != "fine_tuning":
        return 1.0
    task = study.tasks[cell.task]
    images = len(task.section(cell.size, fold=cell.fold, subset=cell.subset)) + len(
        task.section("validation", fold=cell.fold)
    )
    return float(images * int(study.configs[cell.task, cell.protocol].value("epochs")))


def _timed(study: PreparedStudy, executor: Executor, cells: list[Cell]) -> tuple[float, float] | None:
    """Seconds of a start, and for each pass; None when a cell fails (running it tells why).

    Of cells on features the first pays for the features. Weights that are not there yet are replaced by random ones.
    """
    first, second = cells[0], cells[-1]
    if _is_pending(first):
        first, second = (_with_random_weights(cell) for cell in (first, second))
    if first.protocol not in _TRAINED:
        took = _seconds(study, executor, [first, second] if second.name != first.name else [first])
        return None if took is None else (max(0.0, took[0] - took[-1]), took[-1])
    short, long = (_seconds(study, executor, [_shortened(first, times)]) for times in (1, 3))
    if short is None or long is None:
        return None
    per_unit = max(0.0, (long[0] - short[0]) / 2)
    return max(0.0, short[0] - per_unit), per_unit / _unit(study, first)


def _with_random_weights(cell: Cell) -> Cell:
    return Cell(**{**cell.to_json(), "paths": {**cell.paths, "encoder": None}})


def _is_pending(cell: Cell) -> bool:
    encoder = cell.paths.get("encoder")
    return encoder is not None and not Path(encoder).is_file()


def _unit(study: PreparedStudy, cell: Cell) -> float:
    """Passes of one epoch of a fine-tuning, or of four batches of a pre-training."""
    if not cell.task:
        return 4.0 * int(cell.paths["overrides"].get("batch_size", _BATCH))
    return _passes(study, cell) / float(study.configs[cell.task, cell.protocol].value("epochs"))


def _shortened(cell: Cell, times: int) -> Cell:
    """The same cell with so many epochs, or so many times four batches."""
    inputs, paths = {**cell.inputs, "timed": times}, dict(cell.paths)
    if cell.task:
        paths["overrides"] = {**paths["overrides"], "epochs": times, "head_only_epochs": 0, "patience": None}
    else:
        inputs["images_seen"] = times * 4 * int(paths["overrides"].get("batch_size", _BATCH))
    return Cell(**{**cell.to_json(), "inputs": inputs, "paths": paths})


def _seconds(study: PreparedStudy, executor: Executor, cells: list[Cell]) -> list[float] | None:
    """Seconds of each cell, computed as one job in a folder that is deleted again."""
    aside = StudyFolder(tempfile.mkdtemp(prefix="monai_ext_study_"))
    try:
        for _ in executor.run([Job(tuple(cells), study.tasks.get(cells[0].task), str(aside.path))]):
            pass
        if not all(record_path(aside.records, cell.name).is_file() for cell in cells):
            return None
        return [float(aside.read(cell.name).measured["seconds"]) for cell in cells]
    finally:
        shutil.rmtree(aside.path, ignore_errors=True)


def _disk(study: PreparedStudy, cells: list[Cell]) -> int:
    if cells[0].protocol == "pretraining":
        return len(cells) * 50_000_000
    task = study.tasks[cells[0].task]
    each = _PER_IMAGE + 11 * len(task.classes)
    return sum(2000 + each * len(task.test_set(cell.fold).ids) for cell in cells)
