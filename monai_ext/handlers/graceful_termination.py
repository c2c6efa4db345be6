"""End well when the system asks: save first, then leave."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Any

import torch
import torch.distributed
from ignite.engine import Events

from monai_ext.engines.events import PretrainingEvents
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.parallel.processes import process_count

__all__ = ["GracefulTermination"]

logger = logging.getLogger(__name__)


class GracefulTermination:
    """On SIGTERM finish the iteration, let a checkpoint be written, and exit with status 143, as schedulers expect.

    Cluster schedulers and ``docker stop`` send SIGTERM some seconds before they kill. The exit is a ``SystemExit`` out
    of the trainer's ``run``, which trackers see on ``EXCEPTION_RAISED``. A second SIGTERM acts at once. Ctrl-C is left
    alone: it stops at once, with the checkpoints that are there. In a distributed run the processes agree every few
    iterations, so that all of them take part in the checkpoint. Outside of the main thread, where Python allows no
    signal handlers, it does nothing.

    Args:
        every_iterations: iterations between agreements of a distributed run.
    """

    def __init__(self, *, every_iterations: int = 10) -> None:
        self.every_iterations = every_iterations
        self._requested = False
        self._previous: Any = None

    def attach(self, engine: PretrainingTrainer) -> None:
        """Listen to SIGTERM from the start of the training to its end."""
        engine.add_event_handler(Events.STARTED, self._listen)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._leave_if_requested)
        engine.add_event_handler(Events.COMPLETED, self._stop_listening)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._stop_listening)

    def _listen(self) -> None:
        self._requested = False
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)

    def _stop_listening(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        self._stop_listening()

    def _leave_if_requested(self, engine: PretrainingTrainer) -> None:
        if process_count() > 1:
            if engine.state.iteration % self.every_iterations:
                return
            requested = torch.tensor(float(self._requested), device=engine.state.device)
            torch.distributed.all_reduce(requested, torch.distributed.ReduceOp.MAX)
            self._requested = bool(requested)
        if self._requested:
            logger.warning("SIGTERM received: training ends after iteration %d.", engine.state.iteration)
            engine.fire_event(PretrainingEvents.CHECKPOINT_REQUESTED)
            raise SystemExit(128 + signal.SIGTERM)
