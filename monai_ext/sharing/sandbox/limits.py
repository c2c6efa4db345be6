"""Limits of a sandboxed run: processes, disk and time; the run is watched, and stopped when it exceeds one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Limits", "folder_size", "process_group", "watch"]

_CONTROL_GROUPS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """What a run may use.

    Args:
        processes: processes and threads at a time.
        disk_bytes: written to its output folder, all files together.
        seconds: from its start to its end.
    """

    processes: int = 512
    disk_bytes: int = 4 * 2**30
    seconds: float = 3600.0


@contextlib.contextmanager
def process_group(limits: Limits) -> Iterator[Path | None]:
    """A control group of the kernel that no more processes can be made in; None where groups cannot be made.

    Only root can usually make one, and only root needs one: all others are held by the limit of each user.
    """
    group = _made_group(limits.processes)
    try:
        yield group
    finally:
        if group is not None:
            _remove(group)


def _made_group(processes: int) -> Path | None:
    for parent in _CONTROL_GROUPS:
        group = parent / f"monai_ext_{os.getpid()}_{threading.get_ident()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(processes))
        except OSError:
            group.rmdir()
            continue
        return group
    return None


def _remove(group: Path) -> None:
    for _ in range(50):
        with contextlib.suppress(OSError):
            for process in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    os.kill(int(process), signal.SIGKILL)
        try:
            group.rmdir()
        except OSError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def folder_size(folder: Path) -> int:
    """Bytes that a folder's files occupy; links are not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


def watch(process: subprocess.Popen[str], limits: Limits, output: Path) -> str | None:
    """Wait for the end of a run; stops it when it exceeds a limit, and says which."""
    end = time.monotonic() + limits.seconds
    while process.poll() is None:
        exceeded = None
        if folder_size(output) > limits.disk_bytes:
            exceeded = f"it wrote more than {limits.disk_bytes:,} bytes"
        elif time.monotonic() > end:
            exceeded = f"it ran for more than {limits.seconds:g} seconds"
        if exceeded is not None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return exceeded
        time.sleep(_PAUSE_SECONDS)
    return None
