"""End well when the system asks: save first, then leave."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

import torch
from ignite.engine import Events

from monai_ext.engines.events import PretrainingEvents
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.parallel.processes import all_reduce, process_count

__all__ = ["GracefulTermination"]

logger = logging.getLogger(__name__)


SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
"""What ends a training: a scheduler, Ctrl-C, and a terminal that is gone, such as that of a lost ssh connection."""


class GracefulTermination:
    """On SIGTERM, Ctrl-C or SIGHUP finish the iteration, let a checkpoint be written, and exit.

    Cluster schedulers and ``docker stop`` send SIGTERM some seconds before they kill; SIGHUP comes when the terminal is
    lost. The exit is a ``SystemExit`` out of the trainer's ``run``, which trackers see on ``EXCEPTION_RAISED``, with
    the status that shells give, 128 and the signal's number: 143, 130, 129. A second signal acts at once. A signal that
    the process was started to ignore, as ``nohup`` does with SIGHUP, stays ignored. In a distributed run the processes
    agree every few iterations, so that all of them take part in the checkpoint. Outside of the main thread, where
    Python allows no signal handlers, it does nothing.

    Args:
        every_iterations: iterations between agreements of a distributed run.
    """

    def __init__(self, *, every_iterations: int = 10) -> None:
        self.every_iterations = every_iterations
        self._received = 0
        self._previous: dict[int, Any] = {}

    def attach(self, engine: PretrainingTrainer) -> None:
        """Listen from the start of the training to its end."""
        engine.add_event_handler(Events.STARTED, self._listen)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._leave_if_requested)
        engine.add_event_handler(Events.COMPLETED, self._stop_listening)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._stop_listening)

    def _listen(self) -> None:
        self._received = 0
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: by code that is not Python's
                    self._previous[number] = signal.signal(number, self._note)

    def _stop_listening(self, *_: object) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        self._stop_listening()

    def _leave_if_requested(self, engine: PretrainingTrainer) -> None:
        if process_count() > 1:
            if engine.state.iteration % self.every_iterations:
                return
            received = torch.tensor(float(self._received), device=engine.state.device)
            self._received = int(all_reduce(received, maximum=True))
        if self._received:
            name, iteration = signal.Signals(self._received).name, engine.state.iteration
            logger.warning("%s received: training ends after iteration %d.", name, iteration)
            engine.fire_event(PretrainingEvents.CHECKPOINT_REQUESTED)
            raise SystemExit(128 + self._received)
