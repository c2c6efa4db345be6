"""Files that are there completely or not at all, whenever the process or the machine stops."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["remove_partial_files", "sync_folder", "write_atomically", "write_durably"]

_PARTIAL = ".partial"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Create or replace a file in one step.

    The content goes to a temporary name in the same folder, is synced to the disk, and takes its name only then; the
    folder is synced too, so that the name survives a power cut. When anything fails, what was there before is untouched
    and nothing temporary stays behind.

    Args:
        path: of the file, in an existing folder.
        write: writes the content to an open binary file.

    Raises:
        OSError: when the disk refuses: read-only, full, or gone.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        with open(partial, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        if partial.parent.is_dir():
            partial.unlink(missing_ok=True)
        cause = _os_error(error) if isinstance(error, Exception) else None
        if cause is None or cause is error:
            raise
        raise cause from error
    sync_folder(path.parent)


def write_durably(file: Path, content: bytes | memoryview, *, sync_name: bool = True) -> None:
    """Write a file so that it is either there completely or not at all, even when power fails: sync, then rename.

    Without ``sync_name`` the file may still be absent after a power failure, as if it had not been written; that saves
    half of the time on many small files.
    """
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_name:
        sync_folder(file.parent)


def remove_partial_files(folder: Path) -> None:
    """Delete what writers that were killed have left in a folder."""
    for partial in folder.glob(f".*{_PARTIAL}"):
        partial.unlink(missing_ok=True)


def _os_error(error: BaseException | None) -> OSError | None:
    """The operating system's error behind an exception; torch.save raises a RuntimeError of its own on top of it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def sync_folder(folder: Path) -> None:
    """Make a renaming or deletion in ``folder`` durable."""
    if os.name != "posix":  # other systems cannot open folders, and order renames themselves
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
