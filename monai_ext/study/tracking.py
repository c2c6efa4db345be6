"""A study in MLflow: one parent run, every cell nested in it, the report as its artifact."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from monai_ext.errors import StudyError
from monai_ext.study.cells.cell import Cell
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import Record
from monai_ext.tracking.operations import Artifact, EndRun, NestedRun, Operation, Parameters, milliseconds
from monai_ext.tracking.run import TrackedRun

__all__ = ["StudyTracking"]

logger = logging.getLogger(__name__)

_RECORD, _STUDY = "monai_ext.study_record", "monai_ext.study"
_RUN = "mlflow_run_id"


class StudyTracking:
    """Follows a study in a :class:`~monai_ext.tracking.run.TrackedRun`, which never makes it wait and loses nothing.

    Used as a context: it ends the run, with what ended the study. What MLflow does not take waits in the study's
    folder, and is delivered when the study goes on. Records are read in the thread that writes. A store that refuses
    the run leaves the study without one.

    Args:
        study: name of the study and of the MLflow experiment.
        folder: of the study; it remembers the parent run, so that a study that goes on stays one run.
        parameters: of the parent run.
        enabled: False follows nothing.
    """

    def __init__(self, study: str, folder: StudyFolder, *, parameters: dict[str, Any], enabled: bool = True) -> None:
        self.study, self.folder, self.parameters = study, folder, parameters
        self.failed_cells = 0
        self._finished: deque[str] = deque()
        self._run = self._opened() if enabled else None

    def __enter__(self) -> StudyTracking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)

    def log_cell(self, cell: Cell) -> None:
        """Log the record of a cell soon."""
        if self._run is not None:
            self._finished.append(cell.name)

    def log_report(self, path: Path) -> None:
        """Add a file to the parent run soon."""
        if self._run is not None:
            self._run.log(Artifact(str(path.resolve()), "report"))

    def close(self, error: BaseException | None = None) -> None:
        """Deliver what is waiting and end the parent run; FAILED where ``failed_cells`` are counted."""
        if self._run is None:
            return
        for nested in self._nested_runs():
            self._run.log(nested)
        if error is None and self.failed_cells:
            self._run.end(EndRun("FAILED", f"{self.failed_cells} cells failed."))
        else:
            self._run.close(error)
        self.folder.update_state(**{_RUN: self._run.reference})

    def _opened(self) -> TrackedRun | None:
        known = self.folder.state().get(_RUN)
        run = TrackedRun(
            self.study,
            run_name=f"study {self.study}",
            resume=known,
            tags={_STUDY: self.study, _RECORD: "parent"},
            spool_dir=self.folder.path,
            poll=self._nested_runs,
        )
        try:
            run.open()
        except RuntimeError as error:
            logger.warning("%s The study goes on without; its records have everything.", error)
            return None
        if run.reference != known:
            self.folder.update_state(**{_RUN: run.reference})
            run.log(Parameters({name: str(value) for name, value in self.parameters.items()}))
        return run

    def _nested_runs(self) -> Iterator[Operation]:
        """Of each cell that is waiting a run; in two threads at once each cell comes up once."""
        while self._finished:
            name = self._finished.popleft()
            try:
                yield self._nested(self.folder.read(name))
            except (StudyError, KeyError, TypeError, ValueError) as error:
                logger.warning("A cell is not in MLflow: %s", error)

    def _nested(self, record: Record) -> NestedRun:
        now, seconds = milliseconds(), float(record.measured["seconds"])
        return NestedRun(
            key=uuid.uuid4().hex,
            name=" ".join(str(record.cell[key]) for key in ("method", "task", "size", "protocol")),
            tags={
                _STUDY: self.study,
                _RECORD: record.name,
                **{f"study.{key}": str(value) for key, value in record.cell.items()},
            },
            metrics={**record.results.get("metrics", {}), "seconds": seconds},
            start_time=now - int(1000 * seconds),
            end_time=now,
        )
