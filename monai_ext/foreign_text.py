"""Text that comes with the data, such as names and labels, on its way into tables and onto terminals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sized
from itertools import islice
from typing import Any

__all__ = ["csv_text", "listed", "plain_cell", "printable"]

_TRIGGERS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are their full-width forms, which some spreadsheets obey too."""
_MARK = "'"


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as CSV that a spreadsheet opens without running anything.

    A text that begins as a formula does gets an apostrophe before it, as OWASP advises ("CSV Injection");
    :func:`plain_cell` takes it away. Numbers stay, also when they come as text.

    >>> csv_text(["file", "label"], [["=1+1.png", "-1"], ["a.png", -0.5]])
    "file,label\\n'=1+1.png,-1\\na.png,-0.5\\n"
    """
    return "".join(_line([_safe(cell) for cell in row]) for row in (header, *rows))


def plain_cell(cell: str) -> str:
    """A cell of a table by :func:`csv_text` as it was.

    >>> plain_cell("'=1+1.png")
    '=1+1.png'
    """
    return cell[1:] if cell[:1] == _MARK and cell[1:].startswith(_TRIGGERS) else cell


def printable(text: str) -> str:
    """A name as it may be shown on a terminal: what is no character with a shape of its own is escaped.

    >>> print(printable("scan\\x1b[2J\\n.dcm"))
    scan\\x1b[2J\\x0a.dcm
    """
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def listed(names: Iterable[Any], *, most: int = 10, separator: str = ", ", form: Callable[[Any], str] = str) -> str:
    """Names in a sentence: the first ones, and how many more there are.

    Args:
        names: of any number; what is not shown is counted, and never formatted by ``form``.
        most: so many are shown.
        separator: between two of them.
        form: how one is written.

    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    iterator = iter(names)
    shown = [form(name) for name in islice(iterator, most)]
    left = len(names) - len(shown) if isinstance(names, Sized) else sum(1 for _ in iterator)
    return separator.join(shown) + (f" and {left} more" if left else "")


def _line(cells: list[Any]) -> str:
    """One row; the writer quotes a cell with a carriage return only where that is a part of its line ends."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _safe(cell: Any) -> Any:
    return f"{_MARK}{cell}" if isinstance(cell, str) and cell.startswith(_TRIGGERS) and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and cell.strip() == cell


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
