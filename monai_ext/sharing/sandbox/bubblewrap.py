"""A sandbox by bubblewrap (``bwrap``): namespaces of its own for files, processes, network and users."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from monai_ext.sharing.sandbox.surroundings import Surroundings, devices, library_folders

__all__ = ["bubblewrap_command", "bubblewrap_problem"]

PROGRAM = "bwrap"


@functools.cache
def bubblewrap_problem() -> str | None:
    """Why bubblewrap cannot be used here; None when it can."""
    program = shutil.which(PROGRAM)
    if program is None:
        return "bubblewrap is not installed (apt-get install bubblewrap)"
    probe = [program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    try:
        tried = subprocess.run(probe, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start ({error})"
    return None if tried.returncode == 0 else f"bubblewrap does not work here ({tried.stderr.strip()})"


def bubblewrap_command(
    command: Sequence[str], around: Surroundings, environment: Mapping[str, str], *, largest_temporary: int
) -> list[str]:
    """The command that runs another one in a sandbox.

    Args:
        command: to be run in the bundle's folder.
        around: its folders; the temporary one is replaced by memory.
        environment: all that it sees of the environment.
        largest_temporary: bytes of that memory.
    """
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    for path in library_folders():
        options += ["--ro-bind-try", path, path]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for path in devices():
        options += ["--dev-bind-try", path, path]
    options += ["--size", str(largest_temporary), "--tmpfs", str(around.temporary)]
    options += ["--ro-bind", str(around.data), str(around.data)]
    options += ["--ro-bind", str(around.bundle), str(around.bundle)]
    options += ["--bind", str(around.output), str(around.output)]
    options += ["--remount-ro", "/"]
    return [PROGRAM, *options, "--chdir", str(around.bundle), "--", *command]
