"""The right to write to a folder, which one process has at a time and which ends with that process."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
import stat
import time
import weakref
from pathlib import Path
from typing import Any

from monai_ext.files import read_json

try:
    import fcntl
except ImportError:  # systems that are not POSIX
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderInUseError", "FolderLock", "notes_of_holder"]

logger = logging.getLogger(__name__)

_NAME = ".lock"
_PAUSE_SECONDS = 0.1
_NOT_SUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


class FolderInUseError(OSError):
    """Another process writes to the folder."""


class FolderLock:
    """Keep other processes from writing to a folder until :meth:`release`, or until this process is gone.

    It is the operating system's lock on a file in the folder. When the process dies, in whatever way, the system lifts
    it: there is nothing to clean up before the next start. Forked workers do not hold it. On file systems without
    locks a warning is logged and nothing is kept away.

    Args:
        folder: that exists.
        name: of the file. Locks of other names do not know of each other: for what is one file of a folder.
        owner_only: nobody else can read the file, whatever the umask says.
    """

    def __init__(self, folder: str | Path, *, name: str = _NAME, owner_only: bool = False) -> None:
        self.path = Path(folder) / name
        self._mode = 0o600 if owner_only else 0o666
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, or refuse at once; nothing happens when it is held already.

        Raises:
            FolderInUseError: another process has it, or another object of this process.
            OSError: the folder cannot be written to, or something else than a file lies in the place of the lock.
        """
        if fcntl is None or self._descriptor is not None:
            return
        descriptor = self._open_and_lock()
        if descriptor is None:
            return
        self._descriptor = descriptor
        _held.add(self)
        try:
            self.note()
        except OSError:  # a full disk: whoever could not take the lock must not keep it
            self.release()
            raise

    def wait(self, seconds: float) -> None:
        """Take the lock as soon as nobody has it.

        Raises:
            FolderInUseError: that was not within ``seconds``.
            OSError: the folder cannot be written to.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.acquire()
            except FolderInUseError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def note(self, **notes: Any) -> None:
        """Write plain values for others to read, see :func:`notes_of_holder`; nothing happens without the lock."""
        if self._descriptor is not None:
            content = {"process": os.getpid(), "machine": platform.node(), **notes}
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(content).encode(), 0)

    def release(self) -> None:
        """Give it back, and remove its file; nothing happens when it is not held."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)  # while it is still locked: nobody else can have locked this file
            self._forget()

    def _open_and_lock(self) -> int | None:
        while True:
            # a link is not followed, as notes would overwrite its target, and a pipe is not waited for
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self.path, flags, self._mode)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EEXIST, "it is no file, but a pipe, socket or device", str(self.path))
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, self.path):  # else the holder before has removed it since it was opened
                    return descriptor
                os.close(descriptor)
            except OSError as error:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    raise FolderInUseError(errno.EWOULDBLOCK, self._holder()) from None
                if error.errno not in _NOT_SUPPORTED:
                    raise
                logger.warning(
                    "%s is on a file system without locks: see to it that no other process writes there.",
                    self.path.parent,
                )
                return None

    def _holder(self) -> str:
        notes = _notes(self.path)
        return f"it is in use by process {notes.get('process', 'unknown')} on {notes.get('machine', 'unknown')}"

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None  # first: a signal may raise out of the next line
        if descriptor is not None:
            os.close(descriptor)


def notes_of_holder(folder: str | Path) -> dict[str, Any]:
    """What the process that holds the lock of a folder, or held it when it died, wrote into it; empty for none."""
    return _notes(Path(folder) / _NAME)


def _notes(path: Path) -> dict[str, Any]:
    try:
        notes = read_json(path)
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _forget_in_child() -> None:
    """A forked process shares the parent's lock, and would keep it after the parent's death: close its part."""
    for lock in list(_held):
        lock._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
