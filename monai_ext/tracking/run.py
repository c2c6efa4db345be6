"""One run in MLflow: open it, write to it without waiting, end it."""

from __future__ import annotations

import json
import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_ext.errors import public_text
from monai_ext.locations import database_file, shown, tracking_uri_for
from monai_ext.tracking.delivery import Delivery, RefusedEntry
from monai_ext.tracking.process_identity import PROCESS_TAG, process_identity
from monai_ext.tracking.provenance import flat_parameters, without_places
from monai_ext.tracking.spool import Entry, Spool
from monai_ext.tracking.store import MLflowStore
from monai_ext.tracking.system_metrics import SystemMetrics
from monai_ext.tracking.termination import TerminationWatch, status_of

__all__ = ["TrackedRun", "deliver"]

logger = logging.getLogger(__name__)

OPEN_SECONDS = 30.0
END_SECONDS = 120.0
INTERRUPTED_SECONDS = 10.0
_PENDING = "pending:"
_NO_ERROR = "The process ended before the work was complete."


class TrackedRun:
    """A run that is written to from one process, and ended exactly once.

    Everything but :meth:`open` and :meth:`close` returns at once. With the store away the work goes on.

    Args:
        experiment: MLflow experiment; made when missing.
        run_name: MLflow invents one when omitted.
        tracking_uri: see :func:`~monai_ext.locations.tracking_uri_for`.
        resume: ``reference`` of an earlier run, which is then continued.
        tags: of a new run.
        spool_dir: folder of the file for what cannot be delivered.
        system_metrics: log CPU, memory and GPU of the machine.
    """

    def __init__(
        self,
        experiment: str,
        *,
        run_name: str | None = None,
        tracking_uri: str | None = None,
        resume: str | None = None,
        tags: Mapping[str, str] | None = None,
        spool_dir: str | Path | None = None,
        system_metrics: bool = True,
    ) -> None:
        pending = resume is not None and resume.startswith(_PENDING)
        self.key = resume.removeprefix(_PENDING) if resume and pending else uuid.uuid4().hex
        self._store = MLflowStore(tracking_uri_for(tracking_uri))
        self._opening: dict[str, Any] = {
            "tracking_uri": shown(self._store.tracking_uri),
            "experiment": experiment,
            "run_name": run_name,
            "run_id": "" if resume is None or pending else resume,
            "key": self.key,
            "start_time": _now(),
            "tags": {**(tags or {}), PROCESS_TAG: process_identity()},
        }
        self._resumed = resume is not None
        self._system = SystemMetrics() if system_metrics else None
        folder = Path(tempfile.gettempdir()) if spool_dir is None else Path(spool_dir)
        path = _left_over(folder, self._opening) if self._resumed else None
        spool = Spool(path or folder / f"mlflow_{self.key}.jsonl", header=("open", self._opening))
        self._delivery = Delivery(
            self._send, spool=spool, store_name=f"MLflow at {shown(self._store.tracking_uri)}", poll=self._poll
        )
        self._watch = TerminationWatch(self._close_at_exit)
        self._open = False

    @property
    def run_id(self) -> str | None:
        """MLflow's id; None as long as the store has not answered."""
        return self._store.run_id

    @property
    def reference(self) -> str:
        """What a checkpoint keeps to continue this run: the id, or a substitute while there is none."""
        return self.run_id or f"{_PENDING}{self.key}"

    def open(self) -> None:
        """Open the run; wait at most half a minute for the store.

        Raises:
            RuntimeError: the store answers but refuses, for example because the experiment was deleted.
        """
        self._open = True
        self._watch.start()  # before MLflow is asked: whoever stops the process meanwhile ends the run too
        self._delivery.put(("open", self._opening))
        self._delivery.start()
        if not self._delivery.tried.wait(OPEN_SECONDS):
            logger.warning("MLflow has not opened a run after %.0f seconds; training goes on meanwhile.", OPEN_SECONDS)
        if self._store.refusal is not None:
            self._system, self._open = None, False
            self._watch.stop()
            self._delivery.close(timeout=1)
            _raise_refusal(self._store)
        if self.run_id is not None:
            self._say_where()

    def log_parameters(
        self, parameters: Mapping[str, Any], *, iteration: int = 0, parent_run_id: str | None = None
    ) -> None:
        """Log what a person chose; a changed value of a resumed run is added under a name with ``iteration``.

        A value that is not known here, ``"-"``, is that of the parent run where it has one.
        """
        values = flat_parameters(without_places(parameters))
        self._put(("parameters", {"values": values, "iteration": iteration, "parent": parent_run_id or ""}))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log values at a step."""
        now = _now()
        self._put(("metrics", [[name, float(value), now, step] for name, value in metrics.items()]))

    def log_later(self, make: Callable[[], Entry]) -> None:
        """Log what ``make`` gives; it is called in the background."""
        if self._open:
            self._delivery.put(make)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Log tags."""
        self._put(("tags", dict(tags)))

    def log_text(self, text: str, *, file: str) -> None:
        """Log a text as the artifact ``file``."""
        self._put(("text", {"text": text, "file": file}))

    def log_json(self, content: Any, *, file: str) -> None:
        """Log a value as a JSON artifact; what JSON does not know is written as text."""
        self.log_text(json.dumps(content, indent=2, default=str), file=file)

    def log_dataset(self, content: Mapping[str, str]) -> None:
        """Log a dataset as an input of the run, see :func:`~monai_ext.tracking.provenance.dataset_content`."""
        self._put(("dataset", dict(content)))

    def log_artifact(self, path: str | Path, *, folder: str = "") -> None:
        """Log a file or folder, which must stay as it is until the run has ended."""
        self._put(("artifact", {"path": str(Path(path).resolve()), "folder": folder}))

    def log_picture(self, path: str | Path, *, name: str, step: int) -> None:
        """Log a PNG or JPEG file as the picture ``name`` at a step; it must stay as it is until the run has ended."""
        content = {"path": str(Path(path).resolve()), "name": name, "step": step, "time": _now()}
        self._put(("picture", content))

    def close(self, error: BaseException | None = None, *, artifacts: Mapping[str, str | Path] | None = None) -> None:
        """End the run: FINISHED, or what fits the error. Further calls have no effect.

        Args:
            error: that ended the work.
            artifacts: last files or folders, by the folder that they go to; sent after the status, which is small.
        """
        status = "FINISHED" if error is None else status_of(error)
        self._end(status, "" if error is None else public_text(error), artifacts or {})

    def _end(self, status: str, error: str, artifacts: Mapping[str, str | Path]) -> None:
        if not self._open:
            return
        self._put(("end", {"status": status, "error": error, "time": _now()}))
        for folder, path in artifacts.items():
            self.log_artifact(path, folder=folder)
        self._open = False
        try:
            self._delivery.close(timeout=INTERRUPTED_SECONDS if status == "KILLED" else END_SECONDS)
        finally:
            self._watch.stop()

    def _close_at_exit(self, error: BaseException | None) -> None:
        if error is None:
            self._end("KILLED", _NO_ERROR, {})
        else:
            self.close(error)

    def _put(self, entry: Entry) -> None:
        if self._open:
            self._delivery.put(entry)
        else:
            logger.warning("The MLflow run is not open: %s was not logged.", entry[0])

    def _poll(self) -> list[Entry]:
        """System metrics; their steps go on where those of a resumed run ended, so that run must be known first."""
        if self._system is None or (self._resumed and self.run_id is None):
            return []
        self._system.step = max(self._system.step, self._store.first_system_step)
        return self._system.poll(last=self._delivery.closing)

    def _send(self, entry: Entry) -> None:
        if entry[0] == "open":
            self._store.open(entry[1])
            self._opening["run_id"] = self._store.run_id or self._opening["run_id"]
        else:
            self._store.send(entry)

    def _say_where(self) -> None:
        database = database_file(self._store.tracking_uri)
        look = f"see it with 'mlflow ui' in {database.parent}" if database is not None else "see it there"
        logger.info(
            "MLflow run %r (%s) in experiment %r at %s; %s.",
            self._store.run_name, self.run_id, self._opening["experiment"], shown(self._store.tracking_uri), look,
        )  # fmt: skip


def deliver(spool_file: str | Path) -> str:
    """Bring to MLflow what a training could not deliver, and remove the file.

    Args:
        spool_file: named by the training's last message.

    Returns:
        The run's id.

    Raises:
        ValueError: the file does not begin with a run.
        RuntimeError: the store answers but refuses the run; the file stays.
        StoreUnreachable: the store does not answer; what was not delivered stays in the file.
    """
    path = Path(spool_file)
    spool = Spool(path)
    waiting = spool.waiting()
    if not waiting or waiting[0][0] != "open":
        raise ValueError(f"{path} does not begin with an MLflow run; give a file that a training has named.")
    store = MLflowStore(tracking_uri_for(waiting[0][1]["tracking_uri"]))
    for entry in spool:
        try:
            if entry[0] == "open":
                store.open(entry[1])
                _raise_refusal(store)
            else:
                store.send(entry)
        except RefusedEntry as error:
            logger.warning("%s is not in the run: %s.", entry[0], error)
    return str(store.run_id)


def _raise_refusal(store: MLflowStore) -> None:
    if store.refusal is not None:
        raise RuntimeError(f"Opening a run in MLflow at {shown(store.tracking_uri)}: {store.refusal}.")


def _left_over(folder: Path, opening: Mapping[str, Any]) -> Path | None:
    """The file in which a former process left what it could not deliver to the same run."""
    for path in folder.glob("mlflow_*.jsonl"):
        entries = Spool(path).waiting()
        if entries and entries[0][0] == "open":
            content = entries[0][1]
            if content["key"] == opening["key"] or content["run_id"] == opening["run_id"] != "":
                return path
    return None


def _now() -> int:
    return int(time.time() * 1000)
