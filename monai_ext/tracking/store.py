"""One run in an MLflow store, over a connection that stays quiet, gives up soon, and fails in two ways only."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai_ext.folder_lock import FolderInUseError, FolderLock
from monai_ext.locations import artifact_location, database_file, shown
from monai_ext.tracking.operations import OpenRun, Operation, RefusedOperation, milliseconds
from monai_ext.tracking.runs_table import VIEW_TAG, empty_view, with_columns
from monai_ext.tracking.termination import PROCESS_TAG, is_gone

__all__ = ["MLflowStore", "StoreUnreachable", "connect"]

logger = logging.getLogger(__name__)

KEY_TAG = "monai_ext.key"
ERROR_TAG = "monai_ext.error"
_MISSING, _EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
_PERMANENT = {_MISSING, _EXISTS, "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "ENDPOINT_NOT_FOUND"}
_PASSING = ("disk is full", "database is locked", "disk I/O error")
"""SQLite's words for what is over when somebody has made room, or has finished."""
_LONGEST_REASON = 400
_NOISY = ("alembic", "mlflow.store.db.utils")
_MAKING_SECONDS = 60.0
_MADE_BY_OTHERS = ("already exists", "duplicate column", "database is locked", "UNIQUE constraint")
"""What SQLite says where another process makes the same tables at the same time."""


class StoreUnreachable(Exception):
    """The store did not answer; the same operation may succeed later."""


class MLflowStore:
    """One run in an MLflow tracking store, written operation by operation; the first must open it.

    MLflow's global "active run" is never touched. MLflow itself is imported with the first operation.

    Args:
        tracking_uri: of the store.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self.client: Any = None
        self.run_id: str | None = None
        self.run_name = ""
        self.experiment_id = ""
        self.view: str | None = None
        self.refusal: str | None = None
        self.first_system_step = 0

    def write(self, operation: Operation) -> None:
        """Write an operation. If opening the run is refused, ``refusal`` says why and whatever follows is refused.

        Raises:
            StoreUnreachable: it may succeed later.
            RefusedOperation: it never will.
        """
        opens = isinstance(operation, OpenRun)
        try:
            with _translated_errors():
                if self.client is None:
                    self.client = connect(self.tracking_uri)
                if self.run_id is None and not opens:
                    raise RefusedOperation(f"the run could not be opened ({self.refusal})")
                operation.write(self)
        except RefusedOperation as error:
            if not opens:
                raise
            self.refusal = str(error).rstrip(".")

    def open(self, opening: OpenRun) -> None:
        """Find or make the run that is meant, and end others whose process is gone."""
        self.experiment_id = self._experiment(opening.experiment)
        run = self._find(opening)
        if run is None:
            continues = {"monai_ext.continues_run_id": opening.run_id} if opening.run_id else {}
            run = self.make_run(
                opening.key,
                start_time=opening.start_time,
                tags={**opening.tags, **continues},
                run_name=opening.run_name,
            )
        elif run.info.run_id != self.run_id:
            self._reopen(run, opening)
        self.experiment_id, self.run_id, self.run_name = run.info.experiment_id, run.info.run_id, run.info.run_name
        self._end_dead_runs()

    def run_of(self, key: str) -> Any:
        """The run in the experiment that was made with this key; None where there is none."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        return found[0] if found else None

    def make_run(self, key: str, *, start_time: int, tags: Mapping[str, str], run_name: str | None) -> Any:
        """A new run in the experiment, which ``key`` finds again."""
        return self.client.create_run(
            self.experiment_id, start_time=start_time, tags={**tags, KEY_TAG: key}, run_name=run_name
        )

    def show_columns(self, columns: Sequence[str]) -> None:
        """Give MLflow's table of runs further columns; a view that a person has made or deleted stays so.

        It is no reason to lose what was to be written: what the store says against it is passed over.
        """
        if self.view is None or with_columns(self.view, columns) is None:
            return
        try:
            self.view = self.client.get_experiment(self.experiment_id).tags.get(VIEW_TAG)  # others may have added some
            view = None if self.view is None else with_columns(self.view, columns)
            if view is not None:
                self.client.set_experiment_tag(self.experiment_id, VIEW_TAG, view)
                self.view = view
        except Exception as error:  # MLflow's, its database's, the network's
            logger.debug("The table of runs got no further columns: %s.", _reason(error))

    def upload(self, path: Path, folder: str = "") -> None:
        """Add a file or a folder to the run's files, below ``folder``."""
        if not path.exists():
            raise RefusedOperation(f"{path.name} does not exist any more")
        place = self.folder_of_server()
        if place is None:
            write: Callable[..., None] = partial(
                self.client.log_artifacts if path.is_dir() else self.client.log_artifact, self.run_id
            )
        else:
            from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

            files = LocalArtifactRepository(str(place))
            write = files.log_artifacts if path.is_dir() else files.log_artifact
        write(str(path), None if folder in ("", ".") else folder)

    def upload_model(self, model: Any, folder: Path) -> None:
        """Add the files of a folder to an MLflow Model."""
        place = self._folder_of_server(model.artifact_location)
        if place is None:
            self.client.log_model_artifacts(model.model_id, str(folder))
        else:
            from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

            LocalArtifactRepository(str(place)).log_artifacts(str(folder))

    def folder_of_server(self) -> Path | None:
        """Folder of the run's files when the experiment was made by ``mlflow ui`` and is now written to directly.

        Such an experiment's files belong to the server's ``mlartifacts`` folder beside the database, and MLflow's
        client refuses to put them there without the server.
        """
        is_database = database_file(self.tracking_uri) is not None
        return self._folder_of_server(self.client.get_run(self.run_id).info.artifact_uri) if is_database else None

    def _folder_of_server(self, uri: str) -> Path | None:
        database = database_file(self.tracking_uri)
        scheme, _, path = uri.partition(":")
        return database.parent / "mlartifacts" / path.lstrip("/") if database and scheme == "mlflow-artifacts" else None

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = artifact_location(self.tracking_uri, experiment=name)
            self.view = empty_view(milliseconds())
            tags = {VIEW_TAG: self.view}
            try:
                return str(self.client.create_experiment(name, artifact_location=location, tags=tags))
            except MlflowException as error:
                found = self.client.get_experiment_by_name(name)  # made by another process since
                if error.error_code != _EXISTS or found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise RefusedOperation(
                f"the MLflow experiment {name!r} was deleted; restore it with "
                f"'mlflow experiments restore -x {found.experiment_id}', or choose another name"
            )
        self.view = found.tags.get(VIEW_TAG)
        return str(found.experiment_id)

    def _find(self, opening: OpenRun) -> Any:
        if opening.run_id:
            from mlflow.exceptions import MlflowException

            try:
                run = self.client.get_run(opening.run_id)
            except MlflowException as error:
                if error.error_code != _MISSING:
                    raise
                run = None
            if run is not None and run.info.lifecycle_stage == "active":
                return run
            logger.warning("The MLflow run %s does not exist any more; a new one is made.", opening.run_id)
        return self.run_of(opening.key)

    def _reopen(self, run: Any, opening: OpenRun) -> None:
        run_id = run.info.run_id
        self.client.update_run(run_id, status="RUNNING")
        self.client.set_tag(run_id, PROCESS_TAG, opening.tags.get(PROCESS_TAG, ""))
        if ERROR_TAG in run.data.tags:
            self.client.delete_tag(run_id, ERROR_TAG)
        system = next((name for name in run.data.metrics if name.startswith("system/")), None)
        if system is not None:
            self.first_system_step = 1 + max(point.step for point in self.client.get_metric_history(run_id, system))

    def _end_dead_runs(self) -> None:
        """Mark runs as KILLED whose process on this machine is gone without having said so (SIGKILL, power)."""
        for run in self.client.search_runs([self.experiment_id], "attributes.status = 'RUNNING'", max_results=200):
            if run.info.run_id != self.run_id and is_gone(run.data.tags.get(PROCESS_TAG, "")):
                self.client.set_tag(run.info.run_id, ERROR_TAG, "The process ended without a word.")
                self.client.set_terminated(run.info.run_id, status="KILLED")


def connect(tracking_uri: str) -> Any:
    """An ``MlflowClient`` whose store has answered; see :func:`_prepare_environment` for what it leaves out."""
    _prepare_environment()
    import mlflow.telemetry
    from mlflow.tracking import MlflowClient

    mlflow.telemetry.set_telemetry_client()  # MONAI may have imported MLflow before the environment was set
    database = database_file(tracking_uri)
    if database is not None:
        _check_database(database)
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    try:
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.WARNING)
        with contextlib.nullcontext() if database is None else _one_at_a_time(database):
            client = MlflowClient(tracking_uri=tracking_uri)
            client.search_experiments(max_results=1)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    return client


def _prepare_environment() -> None:
    """Settings that MLflow reads from the environment; what the user has set stays.

    No telemetry. And no retries inside MLflow, whose default keeps a request to a dead server going for minutes:
    waiting and trying again is done by :class:`~monai_ext.tracking.delivery.Delivery`.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")


def _check_database(database: Path) -> None:
    """Find out at once what MLflow would try again and again for minutes."""
    with contextlib.suppress(OSError):
        database.parent.mkdir(parents=True, exist_ok=True)
    exists = database.exists()
    if not os.access(database if exists else database.parent, os.W_OK):
        raise RefusedOperation(
            f"the database {database} cannot be written; name another place with MLFLOW_TRACKING_URI, such as "
            "sqlite:////home/me/mlflow.db"
        )
    if not exists:
        logger.info("The MLflow database %s is being made, which takes some seconds.", database)


@contextlib.contextmanager
def _one_at_a_time(database: Path) -> Iterator[None]:
    """Let one process make the tables, which MLflow does on first contact: two at once break each other's."""
    lock = FolderLock(database.parent, name=f".{database.name}.lock")
    others = f"another process is making the database {database}"
    try:
        with contextlib.suppress(PermissionError):  # in the folder of somebody else, where the database exists
            lock.wait(_MAKING_SECONDS)
        yield
    except FolderInUseError as error:
        raise StoreUnreachable(others) from error
    except Exception as error:
        if any(words in str(error) for words in _MADE_BY_OTHERS):  # by a server, which does not know of the lock
            raise StoreUnreachable(others) from error
        raise
    finally:
        lock.release()


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Errors of MLflow, its database and the network as the two kinds that matter."""
    try:
        yield
    except (RefusedOperation, StoreUnreachable):
        raise
    except Exception as error:
        kind = RefusedOperation if _is_permanent(error) else StoreUnreachable
        raise kind(_reason(error)) from error


def _is_permanent(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException

    if any(words in str(error) for words in _PASSING):
        return False
    if isinstance(error, MlflowException):
        return error.error_code in _PERMANENT
    lost_file = isinstance(error, FileNotFoundError) or type(error).__name__ == "UnidentifiedImageError"
    return lost_file or not isinstance(error, OSError)


def _reason(error: Exception) -> str:
    """The system's words for a failed connection; else the error's first line, without passwords in addresses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    line = str(error).strip().partition("\n")[0]
    return " ".join(shown(word) for word in line.split(" "))[:_LONGEST_REASON] or type(error).__name__
