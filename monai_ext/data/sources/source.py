"""What every kind of input is to the dataset: a list of slices, where each belongs, and how to decode one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.percentiles import FULL_SCALE
from monai_ext.data.pseudonyms import group_pseudonyms
from monai_ext.data.sources.slice_stack import SliceStack
from monai_ext.errors import DatasetError

__all__ = [
    "GRAY_LEVELS",
    "HOUNSFIELD_UNITS",
    "MR_SIGNAL",
    "SliceSource",
    "describe_sizes",
    "fingerprint_contents",
    "fingerprint_files",
    "group_name",
]

HOUNSFIELD_UNITS, GRAY_LEVELS = "Hounsfield units", "gray levels"
MR_SIGNAL = "MR signal between percentiles of its series"
_TAIL_BYTES = 4096
_TAILS = 256


class SliceSource(ABC):
    """Slices of one kind below one folder.

    A source says ``kind`` and ``grouped_by`` as class or instance attributes, and gives the rest to this constructor.

    Attributes:
        kind: ``"pictures"``, ``"DICOM"``, ``"NIfTI"``, ``"MetaImage or NRRD"``, ``"MedMNIST"`` or ``"slice store"``.
        root: the folder; names in messages are relative to it.
        dtype: what a slice is kept as: int16 for HU, uint8 or uint16 for gray levels (white is the largest value).
        held_together: of every slice, what it stays together with when some are held out. It is the same whoever's key
            is used, so that a training goes on on another machine, and stays in memory: it may tell who the patient is.
        grouped_by: what a group is, in one word: patient, study, series, volume, folder or picture.
        fingerprint: identifies the data, see :func:`fingerprint_files`.
    """

    kind: str
    grouped_by: str
    dtype: np.dtype[Any]

    @property
    def values(self) -> str:
        """What its values are: Hounsfield units, gray levels, or MR signal."""
        return HOUNSFIELD_UNITS if self.dtype == np.int16 else GRAY_LEVELS

    @property
    def modality(self) -> str | None:
        """``"CT"`` or ``"MR"``; None for pictures, which do not say what they show."""
        return {HOUNSFIELD_UNITS: "CT", MR_SIGNAL: "MR"}.get(self.values)

    @property
    def white(self) -> float:
        """The value that becomes 1 where there are no Hounsfield units that a window could choose from; 0 becomes 0."""
        return FULL_SCALE if self.values == MR_SIGNAL else float(np.iinfo(self.dtype).max)

    def __init__(self, root: Path, *, held_together: Iterable[str], fingerprint: str) -> None:
        self.root = root
        self.held_together = tuple(held_together)
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        """Number of slices."""
        return len(self.held_together)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Of every slice, a pseudonym of what it stays together with, made with the user's key when first asked for.

        Raises:
            DatasetError: the key cannot be used, see :func:`~monai_ext.data.pseudonyms.load_pseudonyms`.
        """
        return group_pseudonyms(self.held_together)

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Decode one slice: float32 (rows, columns), in HU or in gray levels of ``dtype``.

        Raises:
            DatasetError: it cannot be decoded; the message names the file relative to ``root``.
        """

    def name(self, index: int) -> str:
        """What a slice is called among the user's own files, which may tell who the patient is and stays there."""
        return f"slice {index}"

    def decoded_together(self, index: int) -> range:
        """Slices that cost nothing more once ``index`` is decoded (a compressed volume); at least ``index`` itself."""
        return range(index, index + 1)

    def stacks(self) -> list[SliceStack]:
        """The volumes that the slices make up, also those with a fault.

        Raises:
            DatasetError: slices of this kind have no third dimension.
        """
        raise DatasetError(
            f"Volumes were asked for, but {{root}} holds {self.kind}, which do not say where they lie in a patient."
            " Give a folder of NIfTI, MetaImage, NRRD or DICOM, or a slice store that was made of them.",
            root=self.root,
        )

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What is worth knowing about the files: plain values, no identity; see :func:`describe_sizes`."""


def describe_sizes(sizes: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """How many sizes (rows, columns) occur, the smallest and the largest by their shorter side.

    >>> describe_sizes([(30, 10), (20, 24), (20, 24)])
    {'sizes': 2, 'smallest_rows_columns': [30, 10], 'largest_rows_columns': [20, 24]}
    """
    ordered = sorted(sorted(set(sizes)), key=min)
    return {
        "sizes": len(ordered),
        "smallest_rows_columns": list(ordered[0]),
        "largest_rows_columns": list(ordered[-1]),
    }


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
            digest.update(stream.read(_TAIL_BYTES))
    return digest.hexdigest()


def fingerprint_contents(files: Iterable[Path]) -> str:
    """Identify files wherever they lie: SHA-256 of every size and of up to 256 evenly spaced pieces of 4 KiB of each.

    For what is kept of single scans: their ends alone are often the same air.
    """
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            size = file.stat().st_size
            digest.update(f"{size}\n".encode())
            for start in range(0, size, max(_TAIL_BYTES, -(-size // _TAILS))):
                stream.seek(start)
                digest.update(stream.read(_TAIL_BYTES))
    return digest.hexdigest()


def group_name(*identity: object) -> str:
    """A name for a group by which it is chosen what is held out: equal on all machines.

    It is no pseudonym, and never written: who guesses the identity finds it confirmed.
    """
    return hashlib.sha256("\0".join(map(str, identity)).encode(errors="surrogateescape")).hexdigest()[:16]
