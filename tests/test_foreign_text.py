"""Names and labels from anywhere: no formula in a table, no control character on a terminal."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.foreign_text import csv_text, listed, plain_cell, printable


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "-inf.png"]
)
def test_a_text_that_begins_as_a_formula_is_kept_from_being_one(text: str) -> None:
    ((header,), (cell,)) = csv.reader(io.StringIO(csv_text(["x"], [[text]]), newline=""))
    assert header == "x"
    assert cell == f"'{text}"
    assert plain_cell(cell) == text


@pytest.mark.parametrize("number", ["-1", "+0.5", "-1e-3", -1, -0.25])
def test_numbers_stay_numbers(number: object) -> None:
    assert csv_text(["x"], [[number]]) == f"x\n{number}\n"


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_every_text_is_read_as_it_was_unless_it_looks_kept_already(text: str) -> None:
    cell = list(csv.reader(io.StringIO(csv_text(["x"], [[text, 1]]), newline="")))[1][0]
    assert plain_cell(cell) == plain_cell(text)


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("Dö e\x1b[31m\n\u202e.dcm\x07") == "Dö e\\x1b[31m\\x0a\\u202e.dcm\\x07"
    assert printable(b"\xff.dcm".decode(errors="surrogateescape")) == "\\xff.dcm"


@pytest.mark.parametrize("values", [np.arange(5_000_000) / 2, (number / 2 for number in range(7))])
def test_a_list_formats_what_it_shows_and_counts_the_rest(values: Any) -> None:
    written: list[float] = []

    def form(value: float) -> str:
        written.append(value)
        return f"{value:g}"

    total = len(values) if isinstance(values, np.ndarray) else 7
    assert listed(values, most=3, form=form) == f"0, 0.5, 1 and {total - 3} more"
    assert written == [0, 0.5, 1]
    assert listed([], form=form) == ""
