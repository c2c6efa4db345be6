"""Names of files that may travel: plain ones, which no file system and no reader can mistake for others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["NameProblem", "name_problems"]

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]*")
RESERVED_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
LONGEST_PATH = 200
DEEPEST = 8
_LOOKS_LIKE = str.maketrans({"0": "o", "1": "l", "i": "l"})


class NameProblem(NamedTuple):
    """One reason why a name is refused."""

    name: str
    rule: str
    reason: str


def name_problems(names: Iterable[str]) -> list[NameProblem]:
    """What is wrong with the paths of a bundle's files, each relative and with forward slashes.

    Refused are paths that leave the folder, hidden files (``.git*``, which signing tools leave out of what they check),
    characters outside plain ASCII (which look like others, or turn the direction of reading), names that Windows
    reserves, and names of which two denote one file somewhere: repeated ones, and ones that differ in case or in
    characters that look alike (``0`` and ``o``, ``1`` and ``l`` and ``i``, ``rn`` and ``m``).

    >>> [problem.rule for problem in name_problems(["configs/train.json", "../x", "docs/a.md", "docs/A.md"])]
    ['leaves-folder', 'look-alike-name']
    """
    names = list(names)
    found = [NameProblem(name, *problem) for name in names if (problem := _problem_of(name)) is not None]
    return found + _problems_between(names)


def _problem_of(name: str) -> tuple[str, str] | None:
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ".." in parts or re.match(r"[A-Za-z]:", name):
        return "leaves-folder", "the path is absolute, or leads out of the folder it is unpacked to"
    if "" in parts or "." in parts:
        return "odd-path", "the path has an empty part or a single dot, so that one file has several names"
    if any(part.startswith(".git") for part in parts):
        return "git-file", "tools that verify signatures leave .git* out, so that such a file is never checked"
    if any(part.startswith(".") for part in parts):
        return "hidden-file", "hidden files are not seen by who looks into the folder; bundles need none"
    if not all(PLAIN.fullmatch(part) and not part.endswith((" ", ".")) for part in parts):
        return "odd-name", "the name has characters that can look like others or are dropped by some systems"
    if any(RESERVED_BY_WINDOWS.fullmatch(part) for part in parts):
        return "odd-name", "Windows reserves the name for a device"
    if len(name) > LONGEST_PATH or len(parts) > DEEPEST:
        return "odd-path", f"the path is longer than {LONGEST_PATH} characters or deeper than {DEEPEST} folders"
    return None


def _problems_between(names: list[str]) -> list[NameProblem]:
    found = []
    seen: dict[str, str] = {}
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    for name in names:
        skeleton = _skeleton(name)
        if skeleton in seen:
            other = seen[skeleton]
            rule = "duplicate-name" if other == name else "look-alike-name"
            reason = f"{other} is there as well; on some systems, or to the eye, it is the same"
            found.append(NameProblem(name, rule, reason))
        seen.setdefault(skeleton, name)
        if name in folders:
            found.append(NameProblem(name, "duplicate-name", "the same name is a file and a folder"))
    return found


def _skeleton(name: str) -> str:
    return name.casefold().translate(_LOOKS_LIKE).replace("rn", "m").replace("vv", "w")
