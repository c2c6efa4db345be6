"""What the person at the terminal, or the reader of the log, is told."""

from __future__ import annotations

import logging
import re

import pytest
from ignite.engine import Events

from helpers.small_training import small_trainer
from monai_ext.handlers import ProgressReporter


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith("progress_reporter")]


def test_lines_state_epoch_iteration_loss_metrics_rate_and_time_left(caplog):
    trainer = small_trainer([ProgressReporter(every_seconds=0, terminal=False)])
    trainer.state.metrics["val_loss"] = 0.5
    with caplog.at_level(logging.INFO):
        trainer.run()
    assert len(lines(caplog)) == 14
    pattern = r"Epoch 2/5, iteration 4/14: loss \d\.\d{4}, val_loss 0\.5000, \d+\.\d images/s, \d:\d\d:\d\d left\."
    assert re.fullmatch(pattern, lines(caplog)[3])
    assert lines(caplog)[-1].endswith("0:00:00 left.")


def test_between_lines_nothing_is_said_except_the_last(caplog):
    with caplog.at_level(logging.INFO):
        small_trainer([ProgressReporter(every_seconds=3600, terminal=False)]).run()
    assert [line.split(":")[0] for line in lines(caplog)] == ["Epoch 5/5, iteration 14/14"]


def test_a_terminal_gets_a_bar_of_images_that_fills(capsys):
    trainer = small_trainer([ProgressReporter(terminal=True)], max_epochs=2)
    trainer.run()
    bar = capsys.readouterr().err
    assert "Training: 100%" in bar
    assert "24/24" in bar
    assert re.search(r"images/s, epoch 2/2, loss \d\.\d{4}\]", bar)


def test_log_lines_do_not_break_the_bar_and_logging_is_as_before_afterwards(capsys):
    root = logging.getLogger()
    before = list(root.handlers)

    def fail() -> None:
        raise RuntimeError("broken")

    trainer = small_trainer([ProgressReporter(terminal=True)])
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), fail)
    with pytest.raises(RuntimeError, match="broken"):
        trainer.run()
    assert root.handlers == before


def test_other_processes_than_the_first_say_nothing(caplog, monkeypatch):
    monkeypatch.setattr("monai_ext.handlers.progress_reporter.process_rank", lambda: 1)
    with caplog.at_level(logging.INFO):
        small_trainer([ProgressReporter(every_seconds=0, terminal=False)]).run()
    assert lines(caplog) == []
