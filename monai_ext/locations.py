"""Where things are kept: the cache folder, and the runs, in the user's repository or on a server."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote
from urllib.request import pathname2url

__all__ = [
    "CACHE_VARIABLE",
    "artifact_location",
    "cache_folder",
    "database_file",
    "repository_root",
    "shown",
    "tracking_uri_for",
]

CACHE_VARIABLE = "MONAI_EXT_CACHE"
_SQLITE = "sqlite:///"
_PORT = re.compile(r"[^:]*(:\d*)?|\[.*\](:\d*)?")
_SECRET = re.compile("pass|pwd|secret|token|key|user|cred|auth|sig", re.IGNORECASE)
"""Names of what is not shown in the query of an address."""


def cache_folder() -> Path:
    """The folder of the environment variable ``MONAI_EXT_CACHE``, else ``monai_ext`` in the user's cache folder.

    The latter is ``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux, ``~/Library/Caches`` on macOS and ``%LOCALAPPDATA%`` on
    Windows. It is not created here.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "monai_ext"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "monai_ext"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monai_ext"


def repository_root(start: str | Path | None = None) -> Path:
    """The nearest folder with a ``.git`` at or above ``start`` (the working directory), else ``start`` itself."""
    folder = Path.cwd() if start is None else Path(start).resolve()
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def tracking_uri_for(tracking_uri: str | None = None) -> str:
    """The tracking URI in effect: ``MLFLOW_TRACKING_URI``, else the one given, else ``mlflow.db`` in the root.

    The database in the root is what ``mlflow ui`` shows without any flag when it is started there.
    """
    chosen = os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri
    return chosen or f"{_SQLITE}{pathname2url(str(repository_root() / 'mlflow.db'))}"


def database_file(tracking_uri: str) -> Path | None:
    """Absolute path of the SQLite file that a tracking URI names; None for every other kind."""
    if not tracking_uri.startswith(_SQLITE):
        return None
    return Path(unquote(tracking_uri.removeprefix(_SQLITE))).resolve()


def artifact_location(tracking_uri: str, *, experiment: str) -> str | None:
    """Where the files of a new experiment go; None leaves it to the server.

    Beside an SQLite database it is the folder ``mlruns``, as an absolute URI: MLflow's own default depends on the
    directory that a training happens to be started in.
    """
    database = database_file(tracking_uri)
    if database is None:
        return None
    return (database.parent / "mlruns" / re.sub(r"[^\w.-]+", "_", experiment)).as_uri()


def shown(tracking_uri: str) -> str:
    """The tracking URI as it may be printed: without user name and password, of whatever scheme, and wherever in it.

    >>> shown("postgresql+psycopg2://bob:hunter2@db/mlflow?sslmode=require&password=hunter2")
    'postgresql+psycopg2://db/mlflow?sslmode=require'
    """
    scheme, mark, rest = tracking_uri.partition("://")
    if not mark:
        return tracking_uri
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    place, question, query = rest.partition("?")
    if "@" in authority:
        place = place.rpartition("@")[2]
    elif not _PORT.fullmatch(authority) and "@" in rest:  # a password with a sign in it that should be escaped
        place, question, query = rest.rpartition("@")[2].partition("?")
    kept = [part for part in re.split("[&;]", query) if not _SECRET.search(part.partition("=")[0])]
    return f"{scheme}://{place}{question if kept and query else ''}{'&'.join(kept)}"
