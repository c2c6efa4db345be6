"""A connection to MLflow that stays quiet, gives up soon, and fails in two ways only."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai_ext.locations import database_file, shown
from monai_ext.tracking.delivery import RefusedEntry, StoreUnreachable

__all__ = ["connect", "prepare_environment", "translated_errors"]

logger = logging.getLogger(__name__)

_PERMANENT = {
    "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE",
    "ENDPOINT_NOT_FOUND",
}  # fmt: skip
_LONGEST_REASON = 400
_NOISY = ("alembic", "mlflow.store.db.utils")


def connect(tracking_uri: str) -> Any:
    """An ``MlflowClient`` whose store has answered."""
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
        client = MlflowClient(tracking_uri=tracking_uri)
        client.search_experiments(max_results=1)
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    return client


def prepare_environment() -> None:
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
        raise RefusedEntry(
            f"the database {database} cannot be written; name another place with MLFLOW_TRACKING_URI, such as "
            "sqlite:////home/me/mlflow.db"
        )
    if not exists:
        logger.info("The MLflow database %s is being made, which takes some seconds.", database)


@contextlib.contextmanager
def translated_errors() -> Iterator[None]:
    """MLflow's errors as the two kinds that matter."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (RefusedEntry, StoreUnreachable):
        raise
    except MlflowException as error:
        kind: Any = RefusedEntry if error.error_code in _PERMANENT else StoreUnreachable
        raise kind(_first_line(error)) from error
    except (ConnectionError, TimeoutError) as error:
        raise StoreUnreachable(_first_line(error)) from error
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) or type(error).__name__ == "UnidentifiedImageError"
        kind = RefusedEntry if gone else StoreUnreachable
        raise kind(_first_line(error)) from error
    except Exception as error:
        raise RefusedEntry(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    """The system's words for a failed connection; else the error's first line, without passwords in addresses."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    line = str(error).strip().partition("\n")[0]
    return " ".join(shown(word) for word in line.split(" "))[:_LONGEST_REASON] or type(error).__name__
