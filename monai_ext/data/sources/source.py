"""What every kind of input offers to the dataset: a list of slices, where each belongs, and how to decode one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from monai_ext.data.pseudonyms import group_pseudonyms

__all__ = ["KeyedGroups", "SliceSource", "fingerprint_files", "group_name"]

_TAIL_BYTES = 4096
_TAILS = 256


class SliceSource(Protocol):
    """Slices of one kind below one folder."""

    @property
    def kind(self) -> str:
        """``"pictures"``, ``"DICOM"``, ``"NIfTI"`` or ``"slice store"``."""

    @property
    def root(self) -> Path:
        """The folder; names in messages are relative to it."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a slice is kept as: int16 for HU, uint8 or uint16 for gray levels (white is the largest value)."""

    @property
    def held_together(self) -> Sequence[str]:
        """Of every slice, what it stays together with when some are held out: the same whoever's key is used.

        It stays in memory, since it may tell who the patient is.
        """

    @property
    def groups(self) -> Sequence[str]:
        """The same as pseudonyms with the user's key, see :func:`~monai_ext.data.pseudonyms.group_pseudonyms`."""

    @property
    def grouped_by(self) -> str:
        """What a group is, in one word: patient, study, series, volume, folder or picture."""

    @property
    def fingerprint(self) -> str:
        """Identifies the data, see :func:`fingerprint_files`."""

    def __len__(self) -> int:
        """Number of slices."""

    def read(self, index: int) -> np.ndarray:
        """Decode one slice: float32 (rows, columns), in HU or in gray levels of ``dtype``.

        Raises:
            DatasetError: it cannot be decoded; the message names the file relative to ``root``.
        """

    def decoded_together(self, index: int) -> range:
        """Slices that cost nothing more once ``index`` is decoded (a compressed volume); at least ``index`` itself."""

    def describe(self) -> dict[str, Any]:
        """What is worth knowing about the files: plain values, no identity."""


class KeyedGroups:
    """Groups of a source that were made from names: of folders, files, patients."""

    held_together: Sequence[str]

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """See :class:`SliceSource`. Made when they are first asked for, since that reads the user's key."""
        return group_pseudonyms(self.held_together)


def fingerprint_files(root: Path, files: Iterable[Path]) -> str:
    """Identify a set of files: SHA-256 of every relative name and size, and of the last 4 KiB of up to 256 files.

    Modification times are left out, since a copy of the data is the same data. Reading all contents would take minutes
    on a large set; the tails, evenly spaced, catch a set that was made again with other values.
    """
    ordered = sorted(files)
    digest = hashlib.sha256()
    for file in ordered:
        digest.update(f"{file.relative_to(root).as_posix()}\0{file.stat().st_size}\n".encode(errors="surrogateescape"))
    for file in ordered[:: max(1, -(-len(ordered) // _TAILS))]:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            digest.update(stream.read())
    return digest.hexdigest()


def group_name(*identity: object) -> str:
    """A name for a group by which it is chosen what is held out: equal on all machines, so that a training goes on there.

    No pseudonym, and never written: who guesses the identity finds it confirmed.
    """
    return hashlib.sha256("\0".join(map(str, identity)).encode(errors="surrogateescape")).hexdigest()[:16]
