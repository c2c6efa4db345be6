"""Reads tables (CSV) that come from anybody: up to a size, of the right form, or a sentence says what is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_ext.errors import SplitError
from monai_ext.files import read_regular
from monai_ext.foreign_text import listed, plain_cell

__all__ = ["Table", "read_table"]

LARGEST_TABLE_BYTES = 2**28
"""Some four million items with path, label, patient and section."""


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        path: its file.
        header: names of the columns; an empty one where a column has none.
        rows: as many cells each as the header has.
        lines: of every row, the line of the file that it ends on.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> tuple[str, ...]:
        """The values of a column without white space around them.

        Raises:
            SplitError: there is no such column, or a value is missing.
        """
        if name not in self.header:
            raise SplitError(f"{self.path.name} has no column {name!r}; its columns are {listed(self.header)}.")
        place = self.header.index(name)
        values = tuple(row[place].strip() for row in self.rows)
        if "" in values:
            line = self.lines[values.index("")]
            raise SplitError(f"Line {line} of {self.path.name} has no {name}: complete it, or take the line out.")
        return values


def read_table(path: Path, *, holding: str = "labels table") -> Table:
    """Read a table: UTF-8, a header, cells separated by commas; empty lines are passed over.

    Cells that :func:`~monai_ext.foreign_text.csv_text` kept from being formulas are read as they were.

    Args:
        path: the file.
        holding: what the table is to the user, for messages.

    Raises:
        SplitError: it is no file, too large, no text, or not of this form.
    """
    try:
        text = read_regular(path, most=LARGEST_TABLE_BYTES).decode("utf-8-sig")
        return _parse(path, text)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SplitError(
            f"The {holding} {path} cannot be read: {reason}. A table is a CSV file in UTF-8 with a header, cells being"
            " separated by commas."
        ) from error


def _parse(path: Path, text: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = tuple(cell.strip() for cell in next(reader, []))
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated or not any(header):
        raise ValueError(f"it has two columns {repeated[0]!r}" if repeated else "it has no header")
    rows = list(_rows(reader, len(header)))
    return Table(path, header, tuple(row for row, _ in rows), tuple(line for _, line in rows))


def _rows(reader: Iterator[list[str]], width: int) -> Iterator[tuple[tuple[str, ...], int]]:
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not cells:
            continue
        if any(cells[width:]):
            raise ValueError(f"line {line} has {len(cells)} cells, but the header has {width}")
        if any("\0" in cell for cell in cells):
            raise ValueError(f"line {line} has a character of code 0")
        yield tuple(map(plain_cell, cells[:width])) + ("",) * (width - len(cells)), line
