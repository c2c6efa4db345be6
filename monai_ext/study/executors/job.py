"""What an executor is given, and what it says when it is done. What counts are the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from monai_ext.study.cells.cell import Cell
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["Executor", "Job", "Outcome"]


@dataclass(frozen=True)
class Job:
    """Cells for one process: a single training, or many cells on the same features.

    Attributes:
        cells: in this order.
        task: data of all of them; None for a pre-training.
        folder: of the study.
        device: None for the bundle's own choice.
    """

    cells: tuple[Cell, ...]
    task: PreparedTask | None
    folder: str
    device: str | None = None


@dataclass
class Outcome:
    """How a job ended.

    Attributes:
        job: the job.
        errors: of cells that failed with an exception, by name.
        ended: why its process ended early, such as a signal or too much memory; empty when it did not.
    """

    job: Job
    errors: dict[str, str] = field(default_factory=dict)
    ended: str = ""

    def reason(self, cell: Cell) -> str:
        """Why a cell of the job has no record."""
        return self.errors.get(cell.name) or self.ended or "it left no record, and nothing says why."


class Executor(Protocol):
    """Works jobs off, in any order."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Give the outcome of each job as soon as it has ended."""
        ...
