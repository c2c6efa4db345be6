"""A study in MLflow: one parent run, every cell nested in it, the report as its artifact."""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path
from typing import Any

from monai_ext.locations import artifact_location, shown, tracking_uri_for
from monai_ext.study.cells.cell import Cell
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import Record
from monai_ext.tracking.store import connect

__all__ = ["StudyTracking"]

logger = logging.getLogger(__name__)

_RECORD, _PARENT = "monai_ext.study_record", "mlflow.parentRunId"
_LEAVE_AFTER_S = 600.0


class StudyTracking:
    """Logs records in a thread of its own; a store that does not answer stops the logging and not the study.

    Args:
        study: name of the study and of the MLflow experiment.
        folder: of the study; it remembers the parent run, so that a study that goes on stays one run.
        parameters: of the parent run.
    """

    def __init__(self, study: str, folder: StudyFolder, *, parameters: dict[str, Any]) -> None:
        self.study, self.folder, self.parameters = study, folder, parameters
        self.run_id: str | None = None
        self._queue: queue.Queue[str | Path | None] = queue.Queue()
        self._client: Any = None
        self._uri = tracking_uri_for()
        self._broken = False
        self._thread = threading.Thread(target=self._deliver, daemon=True, name="study tracking")
        self._thread.start()

    def log_cell(self, cell: Cell) -> None:
        """Log the record of a cell soon."""
        self._queue.put(cell.name)

    def log_report(self, path: Path) -> None:
        """Add a file to the parent run soon."""
        self._queue.put(path)

    def close(self, *, status: str = "FINISHED") -> None:
        """Deliver what is waiting and end the parent run."""
        waiting = self._queue.qsize()
        if waiting > 100:
            logger.info("%d cells are still being logged to MLflow at %s.", waiting, shown(self._uri))
        self._queue.put(None)
        self._thread.join(_LEAVE_AFTER_S)
        if self.run_id is not None and not self._broken:
            self._try(lambda: self._client.set_terminated(self.run_id, status))

    def _deliver(self) -> None:
        self._try(self._open)
        while (item := self._queue.get()) is not None:
            if not self._broken:
                self._try(lambda item=item: self._log(item))

    def _try(self, work: Any) -> None:
        """MLflow and the libraries below it raise errors of many types; none of them may end a study."""
        try:
            work()
        except Exception as error:
            self._broken = True
            logger.warning(
                "MLflow at %s does not take the study's runs (%s): the study goes on without. Records have everything.",
                shown(self._uri),
                str(error).splitlines()[0] if str(error) else repr(error),
            )

    def _open(self) -> None:
        self._client = connect(self._uri)
        known = self.folder.state().get("mlflow_run_id")
        if known and known in {run.info.run_id for run in self._runs(f"attributes.run_id = '{known}'")}:
            self.run_id = known
            self._client.update_run(known, status="RUNNING")
            return
        tags = {"monai_ext.study": self.study, "mlflow.runName": f"study {self.study}", _RECORD: "parent"}
        self.run_id = self._client.create_run(self._experiment(), tags=tags).info.run_id
        from mlflow.entities import Param

        parameters = [Param(name, str(value)[:500]) for name, value in self.parameters.items()]
        self._client.log_batch(self.run_id, params=parameters)
        self.folder.update_state(mlflow_run_id=self.run_id)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.study)
        if found is not None:
            return str(found.experiment_id)
        location = artifact_location(self._uri, experiment=self.study)
        return str(self._client.create_experiment(self.study, artifact_location=location))

    def _runs(self, condition: str) -> list[Any]:
        return list(self._client.search_runs([self._experiment()], condition, max_results=10))

    def _log(self, item: str | Path) -> None:
        if isinstance(item, Path):
            self._client.log_artifact(self.run_id, str(item), artifact_path="report")
            return
        record = self.folder.read(item)
        tags = {
            "mlflow.runName": " ".join(str(record.cell[key]) for key in ("method", "task", "size", "protocol")),
            _PARENT: self.run_id,
            "monai_ext.study": self.study,
            _RECORD: record.name,
            **{f"study.{key}": str(value) for key, value in record.cell.items()},
        }
        started = int(time.time() * 1000 - float(record.measured["seconds"]) * 1000)
        run = self._client.create_run(self._experiment(), tags=tags, start_time=started)
        self._client.log_batch(run.info.run_id, metrics=_metrics(record), params=[])
        self._client.set_terminated(run.info.run_id)


def _metrics(record: Record) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    values = dict(record.results.get("metrics", {})) | {"seconds": record.measured["seconds"]}
    return [Metric(name, float(value), now, 0) for name, value in values.items()]
