"""Silence is judged by processor time, which the tests set instead of waiting for it."""

from __future__ import annotations

import os

import pytest

from monai_ext.parallel import patience
from monai_ext.parallel.patience import Patience, Verdict


class Clocks:
    """What the watch on the wall and the process's own clock show, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.processor = 100.0, 7.0
        monkeypatch.setattr(patience.time, "monotonic", lambda: self.wall)
        monkeypatch.setattr(patience, "_processor_seconds", lambda pid: self.processor)

    def pass_time(self, *, wall: float, processor: float) -> None:
        self.wall += wall
        self.processor += processor


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def watched(clocks: Clocks) -> Patience:
    """A process that may compute for ten seconds without a word, and was looked at once."""
    process = Patience(1, limit_s=10)
    assert process.judge() is Verdict.WAIT
    return process


def test_a_process_that_computed_for_as_long_as_it_may_is_exhausted(clocks: Clocks) -> None:
    process = watched(clocks)
    clocks.pass_time(wall=11, processor=10.5)
    assert process.judge() is Verdict.EXHAUSTED


def test_a_process_that_computed_nothing_in_that_time_stands_still(clocks: Clocks) -> None:
    process = watched(clocks)
    clocks.pass_time(wall=9, processor=0)
    assert process.judge() is Verdict.WAIT
    clocks.pass_time(wall=2, processor=0.1)
    assert process.judge() is Verdict.STALLED


def test_a_process_that_gets_a_tenth_of_the_processor_is_waited_for_until_it_has_had_its_time(clocks: Clocks) -> None:
    process = watched(clocks)
    for _ in range(9):
        clocks.pass_time(wall=11, processor=1.1)
        assert process.judge() is Verdict.WAIT
    clocks.pass_time(wall=11, processor=1.1)
    assert process.judge() is Verdict.EXHAUSTED


def test_a_word_starts_the_time_anew(clocks: Clocks) -> None:
    process = watched(clocks)
    clocks.pass_time(wall=9, processor=9)
    process.heard()
    clocks.pass_time(wall=9, processor=0)
    assert process.judge() is Verdict.WAIT
    clocks.pass_time(wall=9, processor=9)
    assert process.judge() is Verdict.WAIT


def test_the_processor_time_of_this_process_is_known_and_that_of_no_process_is_zero() -> None:
    assert patience._processor_seconds(os.getpid()) > 0
    assert patience._processor_seconds(2**22 + 1) == 0.0
