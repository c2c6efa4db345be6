"""Progress is a bar on a terminal and lines elsewhere, with rate and time left."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from monai_ext.data.ingestion import progress
from monai_ext.data.ingestion.progress import Progress


def test_without_a_terminal_there_are_lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO), Progress(10, doing="Reading") as bar:
        bar.advance(files=4, slices=40)
    assert "Reading: 4 of 10 files, 40 slices" in caplog.text
    assert "s left" in caplog.text


def test_lines_are_rare(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), Progress(10, doing="Reading") as bar:
        for _ in range(10):
            bar.advance(files=1)
    assert not caplog.text


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(2, doing="Reading") as bar:
        bar.advance(files=1, slices=30)
        bar.advance(files=1)
    assert "Reading: 100%" in terminal.getvalue()
    assert "30 slices" in terminal.getvalue()
