"""Files that are written completely or not at all, and read without waiting for what is no file."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial as bound
from pathlib import Path
from typing import Any, BinaryIO

from monai_ext.errors import TrainingStoppedError

__all__ = [
    "file_sha256",
    "json_or_text",
    "open_regular",
    "parse_json",
    "read_json",
    "read_regular",
    "remove_partial_files",
    "sync_folder",
    "write_atomically",
    "write_durably",
    "write_result",
    "write_together",
]

_PARTIAL = ".partial"
_OWNER_ONLY, _AS_UMASK_SAYS = 0o600, 0o666
_SYNCS_AT_ONCE = 16
_PIECE = 1 << 20
_LARGEST_JSON = 2**26


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


def write_result(path: Path, write: Callable[[BinaryIO], object], *, what: str, state: Any = None) -> None:
    """Create or replace a file of a training's or an evaluation's results in one step, or say why not.

    Args:
        path: of the file; its folder is made.
        write: writes the content to an open binary file.
        what: the file is, for the sentence, such as ``"the encoder"``.
        state: of a trainer, whose iteration and last checkpoint are named; None for an evaluation.

    Raises:
        TrainingStoppedError: when the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, write)
    except OSError as error:
        sentence = f"{what} was not written to {{file}} ({{reason}})."
        if state is None:
            sentence = f"The evaluation stopped: {sentence}"
        else:
            sentence = (
                f"Training stopped at iteration {state.iteration}: {sentence} The last good checkpoint is {{last}}."
            )
        raise TrainingStoppedError(
            f"{sentence} Free space or choose another output_dir.",
            file=path,
            reason=error,
            last=getattr(state, "last_checkpoint", None),
        ) from error


def write_durably(file: Path, content: bytes | memoryview, *, sync_name: bool = True, owner_only: bool = False) -> None:
    """Write a file so that it is either there completely or not at all, even when power fails: sync, then rename.

    Without ``sync_name`` the file may still be absent after a power failure, as if it had not been written; that saves
    half of the time on many small files. With ``owner_only`` nobody else can read it, whatever the umask says.
    """
    temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    mode = _OWNER_ONLY if owner_only else _AS_UMASK_SAYS
    try:
        with open(temporary, "wb", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_name:
        sync_folder(file.parent)


def write_together(files: Sequence[tuple[Path, bytes]], *, owner_only: bool = False) -> None:
    """Write many files as :func:`write_durably` does, without ``sync_name``: their syncs are waited for side by side.

    A disk, above all one behind a network, takes hardly longer for many syncs at once than for one. When a file cannot
    be written, others of them may be there.

    Raises:
        OSError: of the first file that cannot be written.
    """
    write = bound(write_durably, sync_name=False, owner_only=owner_only)
    if len(files) == 1:
        write(*files[0])
        return
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as threads:
        for done in [threads.submit(write, file, content) for file, content in files]:
            done.result()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits; large files are read piece by piece.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()  # hashlib.file_digest needs Python 3.11
    with open_regular(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


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


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading; what is no regular file, or no link to one, is refused at once.

    A pipe that nobody writes to would be waited for, and a device such as ``/dev/zero`` never ends.

    Raises:
        OSError: it is a folder, pipe, socket or device, or cannot be opened.
    """
    # O_NONBLOCK: opening a pipe for reading waits for a writer otherwise; for regular files it means nothing
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no file, but a folder, pipe, socket or device", str(path))


def read_regular(path: str | Path, *, most: int) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        OSError: as :func:`open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it has {size} bytes, and at most {most} are read", str(path))
        return file.read(size)


def read_json(path: str | Path, *, most: int = _LARGEST_JSON, **options: Any) -> Any:
    """What a JSON file holds that may come from anybody.

    Args:
        path: of the file.
        most: bytes.
        options: of ``json.loads``.

    Raises:
        OSError: as :func:`read_regular`.
        ValueError: it is no JSON, no Unicode, or nested more deeply than can be read.
    """
    return parse_json(read_regular(path, most=most), **options)


def json_or_text(text: str) -> Any:
    """What JSON text says, or the text where it is none: a value on a command line.

    >>> json_or_text("[40, 400]"), json_or_text("lung")
    ([40, 400], 'lung')
    """
    try:
        return parse_json(text)
    except ValueError:
        return text


def parse_json(content: bytes | str, **options: Any) -> Any:
    """What JSON text says.

    Raises:
        ValueError: it is no JSON, no Unicode, or nested more deeply than can be read.
    """
    try:
        return json.loads(content, **options)
    except RecursionError:  # no ValueError by itself
        raise ValueError("it is nested too deeply") from None
