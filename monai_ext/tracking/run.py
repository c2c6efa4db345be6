"""One run in MLflow: open it, write to it without waiting, end it."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from monai_ext.errors import public_text
from monai_ext.locations import database_file, shown, tracking_uri_for
from monai_ext.tracking.delivery import Delivery, Spool
from monai_ext.tracking.operations import EndRun, OpenRun, Operation, RefusedOperation, milliseconds
from monai_ext.tracking.runs_table import table_address
from monai_ext.tracking.store import MLflowStore
from monai_ext.tracking.termination import PROCESS_TAG, TerminationWatch, process_identity, status_of
from monai_ext.tracking.training_metrics import SystemMetrics

__all__ = ["TrackedRun", "deliver"]

logger = logging.getLogger(__name__)

OPEN_SECONDS = 30.0
END_SECONDS = 120.0
INTERRUPTED_SECONDS = 10.0
_LOCAL_SERVER = "http://127.0.0.1:5000"
"""Where ``mlflow ui`` answers by itself."""
_PENDING = "pending:"
_NO_ERROR = "The process ended before the work was complete."


class TrackedRun:
    """A run that is written to from one process, and ended exactly once.

    Everything but :meth:`open`, :meth:`close` and :meth:`end` returns at once. With the store away the work goes on.

    Args:
        experiment: MLflow experiment; made when missing.
        run_name: MLflow invents one when omitted.
        tracking_uri: see :func:`~monai_ext.locations.tracking_uri_for`.
        resume: ``reference`` of an earlier run, which is then continued.
        tags: of a new run.
        spool_dir: folder of the file for what cannot be delivered.
        poll: gives further operations to the thread that writes, every two seconds until the run is closed.
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
        poll: Callable[[], Iterable[Operation]] = tuple,
    ) -> None:
        pending = resume is not None and resume.startswith(_PENDING)
        self._store = MLflowStore(tracking_uri_for(tracking_uri))
        self._where = shown(self._store.tracking_uri)
        self._opening = OpenRun(
            tracking_uri=self._where,
            experiment=experiment,
            run_name=run_name,
            run_id="" if resume is None or pending else resume,
            key=resume.removeprefix(_PENDING) if resume and pending else uuid.uuid4().hex,
            start_time=milliseconds(),
            tags={**(tags or {}), PROCESS_TAG: process_identity()},
        )
        self._resumed = resume is not None
        self._system = SystemMetrics()
        folder = Path(tempfile.gettempdir()) if spool_dir is None else Path(spool_dir)
        left_over = _left_over(folder, self._opening) if self._resumed else None
        spool = Spool(left_over or folder / f"mlflow_{self._opening.key}.jsonl", header=self._reopening)
        self._delivery = Delivery(
            self._store.write,
            spool=spool,
            store_name=f"MLflow at {self._where}",
            poll=lambda: [*self._system_metrics(), *poll()],
        )
        self._watch = TerminationWatch(self._close_at_exit)
        self._open = False

    @property
    def run_id(self) -> str | None:
        """MLflow's id; None as long as the store has not answered."""
        return self._store.run_id

    @property
    def is_open(self) -> bool:
        """Whether it is written to."""
        return self._open

    @property
    def reference(self) -> str:
        """What a checkpoint keeps to continue this run: the id, or a substitute while there is none."""
        return self.run_id or f"{_PENDING}{self._opening.key}"

    def open(self) -> None:
        """Open the run; wait at most half a minute for the store.

        Raises:
            RuntimeError: the store answers but refuses, for example because the experiment was deleted.
        """
        self._open = True
        self._watch.start()  # before MLflow is asked: whoever stops the process meanwhile ends the run too
        self._delivery.put(self._opening)
        self._delivery.start()
        if not self._delivery.tried.wait(OPEN_SECONDS):
            logger.warning("MLflow has not opened a run after %.0f seconds; the work goes on meanwhile.", OPEN_SECONDS)
        if self._store.refusal is not None:
            self._system.enabled, self._open = False, False
            self._watch.stop()
            self._delivery.close(timeout=1)
            _raise_refusal(self._store)
        if self.run_id is not None:
            self._say_where()

    def log(self, operation: Operation) -> None:
        """Write an operation soon; a file has to stay as it is until the run has ended."""
        if self._open:
            self._delivery.put(operation)
        else:
            logger.warning("The MLflow run is not open: %s was not logged.", operation.kind)

    def close(self, error: BaseException | None = None, *, last: Sequence[Operation] = ()) -> None:
        """End the run: FINISHED, or what fits the error. Further calls have no effect.

        Args:
            error: that ended the work.
            last: written after the status, which is small: large files.
        """
        if error is None:
            self.end(EndRun("FINISHED"), last=last)
        else:
            self.end(EndRun(status_of(error), public_text(error)), last=last)

    def end(self, end: EndRun, *, last: Sequence[Operation] = ()) -> None:
        """End the run with a status; otherwise as :meth:`close`."""
        if not self._open:
            return
        for operation in (end, *last):
            self._delivery.put(operation)
        self._open = False
        try:
            self._delivery.close(timeout=INTERRUPTED_SECONDS if end.status == "KILLED" else END_SECONDS)
        finally:
            self._watch.stop()

    def _close_at_exit(self, error: BaseException | None) -> None:
        if error is None:
            self.end(EndRun("KILLED", _NO_ERROR))
        else:
            self.close(error)

    def _reopening(self) -> OpenRun:
        return replace(self._opening, run_id=self.run_id or self._opening.run_id)

    def _system_metrics(self) -> list[Operation]:
        """Their steps go on where those of a resumed run ended, so that run must be known first."""
        if self._resumed and self.run_id is None:
            return []
        self._system.step = max(self._system.step, self._store.first_system_step)
        return self._system.poll(last=self._delivery.closing)

    def _say_where(self) -> None:
        database = database_file(self._store.tracking_uri)
        server = self._where if database is None else _LOCAL_SERVER
        look = "see it there" if database is None else f"see it with 'mlflow ui' in {database.parent}"
        if server.startswith("http"):
            look += f", compared with others at {table_address(server, self._store.experiment_id)}"
        logger.info(
            "MLflow run %r (%s) in experiment %r at %s; %s.",
            self._store.run_name, self.run_id, self._opening.experiment, self._where, look,
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
    spool = Spool(Path(spool_file))
    opening = _opening_in(spool)
    if opening is None:
        raise ValueError(f"{spool.path} does not begin with an MLflow run; give a file that a training has named.")
    store = MLflowStore(tracking_uri_for(opening.tracking_uri))
    for operation in spool:
        try:
            store.write(operation)
        except RefusedOperation as error:
            logger.warning("%s is not in the run: %s.", operation.kind, error)
        _raise_refusal(store)
    return str(store.run_id)


def _raise_refusal(store: MLflowStore) -> None:
    if store.refusal is not None:
        raise RuntimeError(f"Opening a run in MLflow at {shown(store.tracking_uri)}: {store.refusal}.")


def _opening_in(spool: Spool) -> OpenRun | None:
    first = next(iter(spool.waiting()), None)
    return first if isinstance(first, OpenRun) else None


def _left_over(folder: Path, opening: OpenRun) -> Path | None:
    """The file in which a former process left what it could not deliver to the same run."""
    for path in folder.glob("mlflow_*.jsonl"):
        found = _opening_in(Spool(path))
        if found is not None and (found.key == opening.key or found.run_id == opening.run_id != ""):
            return path
    return None
