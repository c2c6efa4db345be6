"""Search what is about to leave for strings that must not: paths of this machine, and names that belong to patients."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from monai_ext.errors import BundleAuditError

__all__ = ["machine_strings", "refuse_private_strings"]

SHORTEST = 5
_LOOKED_AT = 3
"""Bytes of a string by which it is looked for first."""
_CHUNK = 2**20
_HOME = re.compile(rb"(?:/home/|/Users/|/root/|[A-Za-z]:\\+Users\\+)[A-Za-z0-9._-]+")
_ORDINARY = {"admin", "ubuntu", "nobody", "runner", "jovyan", "monai", "localhost", "debian"}


def machine_strings(*paths: Path) -> dict[str, set[str]]:
    """What could tell of this machine: names of user and host, the given folders in full."""
    found = {"user": set(), "host": set(), "path": {str(path.resolve()) for path in paths}}
    for kind, ask in (("user", getpass.getuser), ("host", socket.gethostname)):
        try:
            found[kind].add(ask())
        except (OSError, KeyError, ImportError):
            continue
    found["path"].add(str(Path.home()))
    return found


def refuse_private_strings(files: Mapping[str, bytes], private: Mapping[str, Iterable[str]]) -> None:
    """Make sure that no file contains a private string, in UTF-8, Latin-1 or UTF-16.

    Args:
        files: content by name.
        private: strings by kind; those of fewer than five characters, and ordinary ones, say nothing and are left out.

    Raises:
        BundleAuditError: one does; its kind and the file are named, the string is not.
    """
    wanted = {
        encoded: kind
        for kind, texts in private.items()
        for text in texts
        if len(text) >= SHORTEST and text.lower() not in _ORDINARY and text.strip("/")
        for encoded in _encodings(text)
    }
    for name, content in files.items():
        kind = _first_kind(content, wanted)
        if kind is None and _HOME.search(content) is not None:
            kind = "path"
        if kind is not None:
            raise BundleAuditError(
                f"{name} must not travel: it contains a {kind} of this machine or its data. Nothing was packed. Remove"
                " it from the file that it comes from, and pack again."
            )


def _encodings(text: str) -> set[bytes]:
    encoded = {text.encode("utf-8"), text.encode("utf-16-le")}
    try:
        encoded.add(text.encode("latin-1"))
    except UnicodeEncodeError:
        return encoded
    return encoded


def _first_kind(content: bytes, wanted: Mapping[bytes, str]) -> str | None:
    """The kind of a wanted string that occurs; one pass, however many strings there are (Karp and Rabin 1987)."""
    by_start: dict[bytes, list[bytes]] = {}
    for encoded in wanted:
        by_start.setdefault(encoded[:SHORTEST], []).append(encoded)
    is_start = np.zeros(2 ** (8 * _LOOKED_AT), bool)
    for start in by_start:
        is_start[int.from_bytes(start[:_LOOKED_AT], "big")] = True
    read = np.frombuffer(content, np.uint8)
    for first in range(0, len(read) - SHORTEST + 1, _CHUNK):
        part = read[first : first + _CHUNK + _LOOKED_AT - 1].astype(np.uint32)
        for place in np.flatnonzero(is_start[part[:-2] << 16 | part[1:-1] << 8 | part[2:]]):
            at = first + int(place)
            for encoded in by_start.get(content[at : at + SHORTEST], ()):
                if content.startswith(encoded, at):
                    return wanted[encoded]
    return None
