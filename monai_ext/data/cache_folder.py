"""Where the project keeps files that can be made or fetched again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["CACHE_VARIABLE", "cache_folder"]

CACHE_VARIABLE = "MONAI_EXT_CACHE"


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
