"""Tables that come from anybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_ext.data import tables
from monai_ext.data.tables import read_table
from monai_ext.errors import SplitError


def write(folder: Path, content: str | bytes) -> Path:
    (folder / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "t.csv"


@pytest.mark.parametrize(
    "content", ["a,b\n1,x\n2,y\n", "a,b\r\n1,x\r\n2,y", "\ufeffa, b\n\n 1,x \n\n2,y\n\n", 'a,b,,\n1,"x",,\n"2",y\n']
)
def test_cells_come_as_text_whatever_wrote_them(tmp_path: Path, content: str) -> None:
    table = read_table(write(tmp_path, content))
    assert (table.column("a"), table.column("b")) == (("1", "2"), ("x", "y"))


def test_a_cell_may_hold_commas_and_lines(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'a,b\n"x, y","1\n2"\nz,\n'))
    assert table.column("a") == ("x, y", "z")
    with pytest.raises(SplitError, match=r"Line 4 of t.csv has no b"):
        table.column("b")


def test_a_column_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"no column 'c'; its columns are a, b"):
        read_table(write(tmp_path, "a,b\n1,2\n")).column("c")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it has no header"),
        (",,\n1,2,3\n", "it has no header"),
        ("a,b,a\n1,2,3\n", "two columns 'a'"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells, but the header has 2"),
        ('a,b\n"1,2\n', "unexpected end of data"),
        ("a,b\n1,\0\n", "line 2 has a character of code 0"),
        (b"a,b\n\xff,1\n", "utf-8"),
        ("a,b\n" + "x" * 200_000 + ",1\n", "field larger than field limit"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(
        SplitError, match=rf"The list of pairs .*t.csv cannot be read: .*{reason}.*A table is a CSV file"
    ):
        read_table(write(tmp_path, content), holding="list of pairs")


def test_pipes_are_not_waited_for_and_large_files_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(SplitError, match="no file, but a folder, pipe"):
        read_table(tmp_path / "pipe.csv")
    monkeypatch.setattr(tables, "LARGEST_TABLE_BYTES", 3)
    with pytest.raises(SplitError, match="at most 3 are read"):
        read_table(write(tmp_path, "a,b\n"))
