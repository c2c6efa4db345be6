"""Counts which files are opened and which folders are listed, whoever does it, by Python's audit events."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass
class FileAccesses:
    """Names below a folder, with how often each file was opened and each folder listed; ``"."`` is itself."""

    opened: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)


_WATCHED: dict[Path, FileAccesses] = {}
_EVENTS = {"open": "opened", "os.listdir": "listed", "os.scandir": "listed"}


@contextmanager
def file_accesses(folder: Path) -> Iterator[FileAccesses]:
    """Count what this process does below a folder while the context lasts."""
    _listen()
    _WATCHED[folder] = accesses = FileAccesses()
    try:
        yield accesses
    finally:
        del _WATCHED[folder]


@cache
def _listen() -> None:
    sys.addaudithook(_hook)  # it cannot be removed, hence one for all


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _WATCHED or event not in _EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = Path(os.fsdecode(arguments[0]))
    for folder, accesses in _WATCHED.items():
        if path.is_relative_to(folder):
            getattr(accesses, _EVENTS[event])[path.relative_to(folder).as_posix()] += 1
