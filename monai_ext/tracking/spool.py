"""A file for what could not be delivered yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Entry", "Spool", "metric_values"]

Entry = tuple[str, Any]
"""What is to be done, and with what: for example ``("metrics", [["loss", 0.5, 1700000000000, 12]])``. Plain JSON."""

_MAX_BYTES = 64 * 2**20


class Spool:
    """Entries in the order of their arrival, one JSON line each; the file exists only while there are any.

    Args:
        path: of the file.
        header: entry that has to precede all others when the file is read by itself; written first into a fresh file.
        max_bytes: from this size on metrics are not kept any more. All other entries are few and always kept.
    """

    def __init__(self, path: Path, *, header: Entry | None = None, max_bytes: int = _MAX_BYTES) -> None:
        self.path = path
        self.header = header
        self.max_bytes = max_bytes
        self._delivered = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return self.path.exists() and self.path.stat().st_size > self._delivered

    def append(self, entries: Sequence[Entry]) -> int:
        """Keep entries; returns how many metric values the limit did not allow to keep.

        Raises:
            OSError: when the disk refuses.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lost = 0
        with open(self.path, "ab") as file:
            size = file.tell()
            if not size and self.header is not None and entries and entries[0][0] != self.header[0]:
                size += file.write(_line(self.header))
            for entry in entries:
                if entry[0] == "metrics" and size >= self.max_bytes:
                    lost += metric_values([entry])
                else:
                    size += file.write(_line(entry))
        return lost

    def __iter__(self) -> Iterator[Entry]:
        """Each waiting entry; asking for the next one marks the last as delivered. A damaged line is passed over."""
        with open(self.path, "rb") as file:
            file.seek(self._delivered)
            for line in file:
                entry = _entry(line)
                if entry is not None:
                    yield entry
                self._delivered += len(line)
        self.path.unlink()
        self._delivered = 0

    def waiting(self) -> list[Entry]:
        """All waiting entries, none of them marked as delivered."""
        if not self:
            return []
        with open(self.path, "rb") as file:
            file.seek(self._delivered)
            return [entry for entry in map(_entry, file) if entry is not None]


def metric_values(entries: Sequence[Entry]) -> int:
    """Number of single metric values in entries."""
    return sum(len(content) for kind, content in entries if kind == "metrics")


def _line(entry: Entry) -> bytes:
    return b"\n" + json.dumps(entry).encode() + b"\n"


def _entry(line: bytes) -> Entry | None:
    """The entry of a line; None for the empty line between entries and for what a killed process left half-written."""
    try:
        kind, content = json.loads(line)
    except (ValueError, TypeError):
        return None
    return kind, content
