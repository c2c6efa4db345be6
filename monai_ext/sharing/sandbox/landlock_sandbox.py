"""A sandbox by the kernel alone: user and network namespaces, and Landlock for files."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_ext.sharing.sandbox import landlock_launcher
from monai_ext.sharing.sandbox.surroundings import PROCESS_FILES, Surroundings, devices, library_folders

__all__ = ["landlock_command", "landlock_problem"]


@functools.cache
def landlock_problem() -> str | None:
    """Why Landlock and namespaces cannot be used here; None when they can."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has neither namespaces nor Landlock"
    try:
        from landlock import landlock_abi_version

        if landlock_abi_version() < 1:
            return "the kernel has no Landlock"
    except ImportError:
        return "the package landlock is not installed (pip install 'monai-ext[sharing]')"
    except Exception as error:  # the package's own errors, and the system's
        return f"the kernel has no Landlock, or it is switched off ({error})"
    nothing = Surroundings(*(Path("/usr"),) * 2, *(Path("/tmp"),) * 2)
    tried = subprocess.run(
        landlock_command([sys.executable, "-c", ""], nothing, {}), capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"namespaces or Landlock do not work here ({tried.stderr.strip()})"


def landlock_command(command: Sequence[str], around: Surroundings, environment: Mapping[str, str]) -> list[str]:
    """The command that runs another one in a sandbox."""
    wanted = {
        "command": list(command),
        "folder": str(around.bundle),
        "environment": dict(environment),
        "readable": [*library_folders(), *PROCESS_FILES, str(around.bundle), str(around.data)],
        "devices": devices(),
        "writable": [str(around.output), str(around.temporary)],
    }
    return [sys.executable, "-I", landlock_launcher.__file__, json.dumps(wanted)]
