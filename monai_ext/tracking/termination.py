"""Notice the end of the process when nobody else does."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

__all__ = ["TerminationWatch", "status_of"]

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
