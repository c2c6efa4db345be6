"""A process of its own for decoders that may crash or hang: a damaged file costs itself, and nothing else."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from typing import Any

from monai_ext.decoders.failure import DecodingFailed
from monai_ext.decoders.pipe import receive, send
from monai_ext.parallel.patience import Patience, Verdict

__all__ = ["IsolatedProcess", "shared_process"]

_START = "import sys; sys.path[:] = {path!r}; from monai_ext.decoders.serve import serve; serve({memory_bytes})"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
_POLL_MS = 1000
_PIPE_BYTES = 2**20
_ATTEMPTS = 2
_FAULTS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS)
"""Signals by which a program dies of itself; SIGKILL and SIGTERM come from outside."""


class _ChildLost(Exception):
    """The child died or hangs; it is certain that the call is to blame, or it is not."""

    def __init__(self, reason: str, *, is_certain: bool) -> None:
        super().__init__(reason)
        self.reason, self.is_certain = reason, is_certain


class IsolatedProcess:
    """Calls functions in a child process that is started when it is first needed, and again after each crash.

    The child is a fresh interpreter, not a fork: a fork of a process with CUDA, threads or locks in it may hang. A call
    that crashes the child, or computes for too long, fails at once. One whose child was killed from outside, or stood
    still without computing, is tried once more. Threads take turns; a forked process starts a child of its own.

    Args:
        timeout_s: seconds of processor time that a call may take.
        memory_bytes: what the child may allocate (Linux).
    """

    def __init__(self, *, timeout_s: float = 120.0, memory_bytes: int = 2**33) -> None:
        self._timeout_s, self._memory_bytes = timeout_s, memory_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._belong_here()

    def call(self, function: str, arguments: dict[str, Any], payload: Any = b"") -> tuple[dict[str, Any], bytearray]:
        """Call a function there.

        Args:
            function: ``"module:name"``; it takes the arguments and the payload, and returns JSON values and a buffer.
            arguments: JSON values.
            payload: bytes, or anything with a contiguous buffer.

        Raises:
            DecodingFailed: the function said so, or the child crashed (``"crash"``), hung (``"timeout"``), or needed
                too much memory (``"out_of_memory"``).
        """
        if self._owner != os.getpid():
            self._belong_here()
        with self._lock:
            answer, values = self._ask_twice({"function": function, "arguments": arguments}, payload)
        if "failed" in answer:
            raise DecodingFailed(answer["failed"], answer["detail"])
        return answer["values"], values

    @property
    def pid(self) -> int | None:
        """Id of the child, None while there is none."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End the child; a later call starts another."""
        child, self._child = self._child, None
        if child is not None and self._owner == os.getpid():
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()

    def _belong_here(self) -> None:
        self._owner, self._lock = os.getpid(), threading.Lock()
        self._child = None

    def _ask_twice(self, request: dict[str, Any], payload: Any) -> tuple[dict[str, Any], bytearray]:
        for attempt in range(_ATTEMPTS):
            try:
                return self._ask(request, payload)
            except _ChildLost as lost:
                self.close()
                if lost.is_certain or attempt == _ATTEMPTS - 1:
                    raise DecodingFailed(lost.reason) from None
            except BaseException:
                self.close()  # what the child still has to say would be taken for the answer to another call
                raise
        raise DecodingFailed("crash")

    def _ask(self, request: dict[str, Any], payload: Any) -> tuple[dict[str, Any], bytearray]:
        child = self._child or self._start()
        self._child = child
        patience = Patience(child.pid, limit_s=self._timeout_s)
        try:
            send(_Pipe(child.stdin, select.POLLOUT, patience).write, request, payload)
            return receive(_Pipe(child.stdout, select.POLLIN, patience).read)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise _ChildLost("crash", is_certain=_died_of_itself(child)) from None

    def _start(self) -> subprocess.Popen[bytes]:
        path = [os.path.abspath(entry) for entry in sys.path]
        program = _START.format(path=path, memory_bytes=self._memory_bytes)
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=os.environ | _ONE_THREAD,
        )
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                _enlarge(stream.fileno())
        return child


def _died_of_itself(child: subprocess.Popen[bytes]) -> bool:
    """Whether a child that closed its pipes was ended by a fault of its own, and not from outside."""
    try:
        status = child.wait(timeout=_POLL_MS / 1000)
    except subprocess.TimeoutExpired:  # it closed them and lives on
        return False
    return status < 0 and -status in _FAULTS


def _enlarge(descriptor: int) -> None:
    """Let a pipe hold a whole slice, so that both sides are not woken for every 64 KiB of it (Linux)."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the system may allow less
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class _Pipe:
    """One end of a pipe that is waited for with patience."""

    def __init__(self, stream: Any, event: int, patience: Patience) -> None:
        self._descriptor, self._patience = stream.fileno(), patience
        self._poll = select.poll()
        self._poll.register(self._descriptor, event)

    def write(self, part: memoryview) -> int:
        self._wait()
        with contextlib.suppress(BlockingIOError):
            return os.write(self._descriptor, part)
        return 0

    def read(self, buffer: memoryview) -> int:
        self._wait()
        return os.readv(self._descriptor, [buffer])

    def _wait(self) -> None:
        while not self._poll.poll(_POLL_MS):
            verdict = self._patience.judge()
            if verdict is not Verdict.WAIT:
                raise _ChildLost("timeout", is_certain=verdict is Verdict.EXHAUSTED)


_SHARED = IsolatedProcess()
atexit.register(_SHARED.close)


def shared_process() -> IsolatedProcess:
    """The one isolated process of this process, for everything that decodes here."""
    return _SHARED
