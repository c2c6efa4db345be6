"""How processes end: notice the end of this one when nobody else does, and tell whether another one still lives."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil

__all__ = ["PROCESS_TAG", "TerminationWatch", "is_gone", "process_identity", "status_of"]

PROCESS_TAG = "monai_ext.process"
_SIGNAL_EXIT = 128
_DEADLY = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def status_of(error: BaseException) -> str:
    """MLflow's status for what ended a training: KILLED for Ctrl-C and signals, FAILED for everything else."""
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    by_signal = isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > _SIGNAL_EXIT
    return "KILLED" if by_signal else "FAILED"


class TerminationWatch:
    """Between ``start`` and ``stop``: SIGTERM and SIGHUP become ``SystemExit``, and the process's end is reported.

    Python dies of them without running any code, so that a run would stay RUNNING; the exit status is what shells give,
    143 and 129. A handler that somebody else has installed is left alone, and so is a signal that is ignored, as
    ``nohup`` does; so are child processes, which inherit ours, and whoever puts ours back after ``stop``.

    Args:
        at_exit: called with the error that ended the process (None if unknown) when it ends before ``stop``.
    """

    def __init__(self, at_exit: Callable[[BaseException | None], None]) -> None:
        self._at_exit = at_exit
        self._pid = os.getpid()
        self._installed: set[int] = set()

    def start(self) -> None:
        """Begin to watch."""
        atexit.register(self._exit)
        if threading.current_thread() is threading.main_thread():
            for number in _DEADLY:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, self._terminate)
                    self._installed.add(number)

    def stop(self) -> None:
        """Leave everything as it was."""
        atexit.unregister(self._exit)
        if threading.current_thread() is threading.main_thread():
            for number in self._installed:
                if signal.getsignal(number) == self._terminate:
                    signal.signal(number, signal.SIG_DFL)
        self._installed.clear()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid or number not in self._installed:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise SystemExit(_SIGNAL_EXIT + number)

    def _exit(self) -> None:
        if os.getpid() == self._pid:
            self._at_exit(getattr(sys, "last_value", None))


def process_identity() -> str:
    """``machine/boot/pid/start``: a hash of the machine, its boot, the process id and when the process began.

    The machine's part includes the process-id name space, so that containers on one host are different machines.
    """
    return f"{_machine()}/{_boot()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(identity: str) -> bool:
    """True only when the process was on this machine and certainly does not exist any more."""
    machine, _, rest = identity.partition("/")
    boot, _, process = rest.partition("/")
    pid, _, started = process.partition("/")
    if machine != _machine() or not pid.isdigit():
        return False
    return boot != _boot() or _started(int(pid)) != started


def _machine() -> str:
    parts = [platform.node(), _content("/etc/machine-id")]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _boot() -> str:
    return _content("/proc/sys/kernel/random/boot_id")[:8]


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty when it does not exist or is a zombie."""
    status = _content(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if status:
        return "" if status[0] == "Z" else status[19]
    if sys.platform == "linux":
        return ""
    return "unknown" if psutil.pid_exists(pid) else ""


def _content(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""
