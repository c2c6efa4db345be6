"""Names of files that a table or a split has: paths below a folder, in one spelling, or refused."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from monai_ext.errors import SplitError

__all__ = ["names_below", "plain_name"]

_LISTED = 100


def plain_name(name: str) -> str:
    """The one spelling of a relative path.

    >>> plain_name("./a//b.png"), plain_name("a/../c.png")
    ('a/b.png', 'c.png')
    """
    return posixpath.normpath(name)


def names_below(root: Path, names: Sequence[str], *, table: str) -> tuple[str, ...]:
    """The names in one spelling, after making sure that each is a file below ``root``, links being followed.

    Args:
        root: the folder.
        names: paths relative to it, or absolute ones that lead below it.
        table: name of the table, for messages.

    Raises:
        SplitError: files that lie elsewhere, or are not there; all of them are named, up to a hundred.
    """
    folder = os.path.abspath(root)
    plain = tuple(plain_name(os.path.relpath(name, folder) if os.path.isabs(name) else name) for name in names)
    outside = [name for name, is_outside in zip(names, _lie_outside(folder, plain), strict=True) if is_outside]
    if outside:
        raise SplitError(
            f"{table} names {len(outside)} files that lie outside its folder: {_listed(outside)}. A table may name what"
            f" lies below {root} only, also by links: copy the pictures there."
        )
    missing = [name for name in plain if not _is_file(os.path.join(folder, name))]
    if missing:
        raise SplitError(
            f"{table} names {len(missing)} files that are not below {root}: {_listed(missing)}. Put the table beside"
            " its pictures, and complete them."
        )
    return plain


def _lie_outside(folder: str, names: Sequence[str]) -> Iterator[bool]:
    """Whether each path leads out of the folder, by what it says or by a link."""
    real_root = os.path.realpath(folder)

    @cache
    def is_below(path: str) -> bool:
        return os.path.commonpath([real_root, os.path.realpath(path)]) == real_root

    for name in names:
        path = os.path.join(folder, name)
        if name == ".." or name.startswith("../"):
            yield True
        else:
            yield not (is_below(os.path.dirname(path)) and (not os.path.islink(path) or is_below(path)))


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)
    except (OSError, ValueError):  # a name that no file can have
        return False


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
