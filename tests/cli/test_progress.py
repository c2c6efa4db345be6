"""Progress on a terminal and elsewhere."""

from __future__ import annotations

import sys

import pytest
from tqdm import tqdm

from monai_ext.cli import _progress
from monai_ext.cli._progress import progress_bar


def test_elsewhere_than_on_a_terminal_there_are_whole_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "_LINE_EVERY_S", 0.0)
    with progress_bar(4, doing="Counting", unit=" sheep") as bar:
        bar.update(3)
        tqdm.write("a result", file=sys.stdout)
    printed = capsys.readouterr()
    assert printed.out == "a result\n"
    assert "\r" not in printed.err
    assert printed.err.splitlines()[-1].startswith("Counting: 3 of 4, ")
    assert printed.err.splitlines()[-1].endswith(" left")


def test_short_work_is_quiet_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(4, doing="Counting", unit=" sheep") as bar:
        bar.update(4)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar(4, doing="Counting", unit=" sheep") as bar:
        bar.update(4)
    assert "\rCounting: 100%" in capsys.readouterr().err
