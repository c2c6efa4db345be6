"""What goes between the process that writes the store and those that read files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.outcomes import STORED, Outcome
from monai_ext.data.percentiles import PercentileScale
from monai_ext.data.store.codec import PackedSeries

__all__ = ["FileRef", "Finished", "Message", "Reading", "SeriesFound", "Stack", "Task", "TaskFunction"]


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file to read: its hash in the ledger, and its path relative to the source."""

    file: bytes
    name: str


@dataclass
class Task:
    """Files that are read together; those that are finished are taken out, so that the rest can be tried again.

    Args:
        kind: ``"scan"``, ``"dicom"``, ``"volume"`` or ``"picture"``.
        files: what to read.
        unit: of DICOM, the series as a hash.
        stored: objects that are stored already, with the file each came from.
        scales: of MR, the scales of series that are stored already, by the key of their first part.
        strikes: how often a process died over it without saying which file it was reading.
        tried: files whose process was killed from outside, or stood still, so that they are tried once more.
    """

    kind: str
    files: list[FileRef]
    unit: bytes = b""
    stored: dict[bytes, bytes] = field(default_factory=dict)
    scales: dict[str, PercentileScale] = field(default_factory=dict)
    strikes: int = 0
    tried: set[bytes] = field(default_factory=set)

    def outcome_of_stored(self, instance: bytes, file: bytes) -> Outcome:
        """What to note about a file whose object is stored: that it is, or that it came from another file."""
        return Outcome(STORED if self.stored[instance] == file else SkipReason.DUPLICATE.value)

    def drop(self, file: bytes) -> None:
        """Take a file out."""
        self.files = [reference for reference in self.files if reference.file != file]


@dataclass(frozen=True, slots=True)
class Reading:
    """Sent before a file is opened: whoever takes too long or dies afterwards does so because of it."""

    file: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """A file needs no more reading."""

    file: bytes
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """A DICOM file belongs to a series, given as a hash; an empty hash where it does not say."""

    file: bytes
    unit: bytes


@dataclass
class Stack:
    """Slices of one shape, ready to be stored together: of one series, of a volume, or pictures.

    Args:
        units: what each object belongs to in the ledger, in the order of ``instances``.
        series: identity of the series as a hash; a part's number is added to make the key.
        provenance: how it was made.
        instances: hash of each object, with the file it came from.
        completes: files of which nothing else is to come.
        content: pixels and rows of the index; its compressed bytes travel on their own.
    """

    units: list[bytes]
    series: bytes
    provenance: dict[str, Any]
    instances: dict[bytes, bytes]
    completes: list[bytes]
    content: PackedSeries


Message = Reading | Finished | SeriesFound | Stack


class TaskFunction(Protocol):
    """Does a task, in a process of its own, and says what happens."""

    def __call__(self, task: Task, /) -> Iterator[Message]:
        """Yield :class:`Reading` before every file that is opened."""
