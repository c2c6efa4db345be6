"""Files of ``torch.save``: written completely or not at all, and read only when they hold what was written."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from monai_ext.errors import DamagedFileError
from monai_ext.files import open_regular, write_atomically

__all__ = ["check_torch_file", "read_torch_file", "write_torch_file"]

_MAGIC = b"PK\x03\x04"
_PART = 1 << 20


def write_torch_file(path: str | Path, content: Any) -> None:
    """Create or replace a file of ``torch.save`` in one step.

    Raises:
        OSError: the disk refuses.
    """
    write_atomically(Path(path), lambda file: torch.save(content, file))


def read_torch_file(
    path: str | Path, *, mmap: bool = False, tensors: bool = True, allowed: Sequence[type] = ()
) -> dict[str, Any] | Any:
    """Content of a file, on the CPU, after every part of it was compared with its checksum; no code of it is run.

    ``torch.load`` does not compare: a bit that has flipped on the disk or on the way changes a weight without a word.
    Files of torch before 1.6 have no checksums and are read as they are.

    Args:
        path: of the file.
        mmap: leave tensors on the disk until they are used.
        tensors: compare the bytes of the tensors too, which takes half a second a gigabyte; without, they must not be
            used.
        allowed: classes of which objects may be made, besides tensors and plain values.

    Raises:
        DamagedFileError: it is truncated, or a part differs from its checksum.
        OSError: it cannot be opened.
        Exception: of many kinds, by ``torch.load``: it is no such file, or holds other objects.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_torch_file(f"{folder}/weights.pt", {"weight": torch.tensor([1.0, 2.0])})
        ...     read_torch_file(f"{folder}/weights.pt")
        {'weight': tensor([1., 2.])}
    """
    with open_regular(path) as file:
        is_archive = file.read(len(_MAGIC)) == _MAGIC or zipfile.is_zipfile(file)
    if is_archive:
        check_torch_file(path, tensors=tensors)
    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and is_archive)
    except RuntimeError as error:
        if "PytorchStreamReader" in str(error) and "TorchScript" not in str(error):  # its reading of the archive failed
            raise _damaged(path, error) from error
        raise


def check_torch_file(path: str | Path, *, tensors: bool = True) -> None:
    """Compare the parts of a file of ``torch.save``, which is a zip archive, with the CRC-32 that it holds of each.

    Args:
        path: of the file.
        tensors: with the bytes of the tensors; else only what says what they are.

    Raises:
        DamagedFileError: it is truncated, or a part differs from its checksum, or it is no archive at all.
        OSError: it cannot be opened.
    """
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    if tensors or "/data/" not in entry.filename:
                        _read_through(archive, entry)
        except Exception as error:  # flipped bits of an archive's directory make zipfile fail in many ways
            raise _damaged(path, error) from error


def _read_through(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Read an entry; at its end zipfile compares the checksum."""
    with archive.open(entry) as part:
        while part.read(_PART):
            pass


def _damaged(path: str | Path, error: Exception) -> DamagedFileError:
    cause = str(error).split("\n")[0].rstrip(".") or type(error).__name__
    return DamagedFileError(
        f"{path} ({Path(path).stat().st_size} bytes) is truncated or damaged: {cause}. Copy or make it again."
    )
