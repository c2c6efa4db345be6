"""Tell the person at the terminal, or the reader of the log, how training gets on."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from ignite.engine import Events

from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.parallel.processes import process_rank

__all__ = ["ProgressReporter"]

logger = logging.getLogger(__name__)


class ProgressReporter:
    """Images a second, time left and loss: a progress bar on a terminal, plain log lines elsewhere.

    The loss is read at these times only, since reading it waits for a GPU. Only the first process of a distributed run
    reports.

    Args:
        every_seconds: seconds between log lines.
        terminal: True for a bar, False for lines; None looks at whether standard error is a terminal.
    """

    BAR_SECONDS = 1.0
    """Seconds between updates of the bar's loss."""

    def __init__(self, *, every_seconds: float = 30.0, terminal: bool | None = None) -> None:
        self.terminal = sys.stderr.isatty() if terminal is None else terminal
        self.every_seconds = self.BAR_SECONDS if self.terminal else every_seconds
        self._bar: Any = None
        self._stack = ExitStack()

    def attach(self, engine: PretrainingTrainer) -> None:
        """Report from the start of the training to its end."""
        if process_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._close)

    def _start(self, engine: PretrainingTrainer) -> None:
        self._since = (time.monotonic(), engine.state.images_seen)
        if self.terminal:
            self._open_bar(engine)

    def _open_bar(self, engine: PretrainingTrainer) -> None:
        from tqdm.auto import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._stack.enter_context(logging_redirect_tqdm())
        self._bar = self._stack.enter_context(
            tqdm(
                desc="Training",
                initial=engine.state.images_seen,
                total=engine.total_iterations * engine.length.batch_size,
                unit=" images",
                dynamic_ncols=True,
            )
        )

    def _advance(self, engine: PretrainingTrainer) -> None:
        if self._bar is not None:
            self._bar.update(engine.length.batch_size)
        now, (then, images) = time.monotonic(), self._since
        is_last = engine.state.iteration == engine.total_iterations
        if now - then < self.every_seconds and not is_last:
            return
        rate = (engine.state.images_seen - images) / max(now - then, 1e-9)
        self._since = (now, engine.state.images_seen)
        self._report(engine, rate)

    def _report(self, engine: PretrainingTrainer, rate: float) -> None:
        state, total = engine.state, engine.total_iterations
        loss = float(state.output["loss"])
        metrics = "".join(f", {name} {float(value):.4f}" for name, value in state.metrics.items())
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {state.epoch}/{state.max_epochs}, loss {loss:.4f}{metrics}")
            return
        left = timedelta(seconds=round((total - state.iteration) * engine.length.batch_size / max(rate, 1e-9)))
        logger.info(
            "Epoch %d/%d, iteration %d/%d: loss %.4f%s, %.1f images/s, %s left.",
            state.epoch,
            state.max_epochs,
            state.iteration,
            total,
            loss,
            metrics,
            rate,
            left,
        )

    def _close(self, *_: object) -> None:
        self._stack.close()
        self._bar = None
