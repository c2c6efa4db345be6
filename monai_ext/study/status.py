"""How far a study is, from its folder alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.index import PlannedCell, read_index
from monai_ext.study.records.record import record_path

__all__ = ["StudyStatus", "study_status"]

_RECENT = 20


@dataclass(frozen=True)
class StudyStatus:
    """Progress of a study.

    Attributes:
        done, total: cells by (protocol, task or method).
        cells_per_hour: over the last records; None with fewer than two.
        hours_left: at this rate; None where it is not known.
        failed: reason by cell, for people.
    """

    done: dict[tuple[str, str], int]
    total: dict[tuple[str, str], int]
    cells_per_hour: float | None
    hours_left: float | None
    failed: dict[str, str]

    @property
    def count(self) -> int:
        """Cells with a record."""
        return sum(self.done.values())

    @property
    def all(self) -> int:
        """Cells of the plan."""
        return sum(self.total.values())


def study_status(folder: StudyFolder) -> StudyStatus:
    """Count records, and take the rate from the times of the latest ones.

    Raises:
        StudyError: the folder holds no study.
    """
    cells = list({cell.name: cell for cell in read_index(folder)}.values())
    there = folder.names()
    done = [cell for cell in cells if cell.name in there]
    rate = _rate(folder, done)
    left = len(cells) - len(done)
    return StudyStatus(
        done=dict(Counter(_kind(cell) for cell in done)),
        total=dict(Counter(_kind(cell) for cell in cells)),
        cells_per_hour=rate,
        hours_left=0.0 if not left else None if rate is None else left / rate,
        failed={str(content.get("cell", name)): str(content.get("error")) for name, content in folder.failed().items()},
    )


def _kind(cell: PlannedCell) -> tuple[str, str]:
    return cell.protocol, cell.task or cell.method


def _rate(folder: StudyFolder, done: Sequence[PlannedCell]) -> float | None:
    """Cells an hour between the latest records."""
    times = sorted(record_path(folder.records, cell.name).stat().st_mtime for cell in done)[-_RECENT:]
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return 3600 * (len(times) - 1) / (times[-1] - times[0])
