"""Tells a process that hangs from one that was paused or gets too little of the processor, by its processor time."""

from __future__ import annotations

import time
from enum import Enum

__all__ = ["Patience", "Verdict"]

_AT_WORK = 0.05
"""Part of the limit that a process must have computed for, while it was silent, to count as slow and not as stuck."""


class Verdict(Enum):
    """What to do about a silent process."""

    WAIT = "wait"
    EXHAUSTED = "exhausted"
    STALLED = "stalled"


class Patience:
    """Watches one process. It hangs for sure when it has computed for as long as it may without a word.

    One that computes nothing is stuck, or somebody paused it, or the machine was asleep: nobody can tell, so whoever
    asks gives its work to a fresh process once. One that computes a little is slow, since others need the processor; it
    is waited for, at most 1 / 0.05 times as long.

    Args:
        pid: the process.
        limit_s: seconds of processor time that it may be silent for.
    """

    def __init__(self, pid: int, *, limit_s: float) -> None:
        self._pid, self._limit_s = pid, limit_s
        self.heard()

    def heard(self) -> None:
        """It said something: start anew. Costs nothing, since processor time is looked up by :meth:`judge` only."""
        self._since_s = time.monotonic()
        self._first_s: float | None = None
        self._latest_s = 0.0

    def judge(self) -> Verdict:
        """What its silence means by now; to be asked about every second."""
        now_s = _processor_seconds(self._pid)
        if self._first_s is None:
            self._first_s = self._latest_s = now_s
        if now_s - self._first_s >= self._limit_s:
            return Verdict.EXHAUSTED
        if time.monotonic() - self._since_s < self._limit_s:
            return Verdict.WAIT
        if now_s - self._latest_s < _AT_WORK * self._limit_s:
            return Verdict.STALLED
        self._latest_s, self._since_s = now_s, time.monotonic()
        return Verdict.WAIT


def _processor_seconds(pid: int) -> float:
    """Of all threads, in the program and in the system on its behalf; 0 when the process is gone."""
    import psutil

    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)
