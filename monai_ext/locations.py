"""Where things are kept: the cache folder, and the runs, in the user's repository or on a server."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit
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
    """The tracking URI as it may be printed: without user name and password."""
    if urlsplit(tracking_uri).scheme in ("http", "https"):
        return re.sub(r"//[^/@]*@", "//", tracking_uri)
    return tracking_uri
