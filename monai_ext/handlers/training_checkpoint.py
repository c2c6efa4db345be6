"""Write checkpoints that survive anything, keep the last few and the best, and resume from one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers.checkpoint import Checkpoint

from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.errors import CheckpointError, TrainingStoppedError
from monai_ext.files import remove_partial_files, write_atomically
from monai_ext.folder_lock import FolderInUseError, FolderLock
from monai_ext.handlers.checkpoint_files import (
    NAME_PATTERN,
    AtomicSaver,
    find_whole_checkpoint,
    list_checkpoints,
    next_run_number,
)
from monai_ext.handlers.training_state import TrainingState
from monai_ext.parallel.processes import decided_by_first, process_rank, unwrap

__all__ = ["TrainingCheckpoint"]

logger = logging.getLogger(__name__)

_BEST = "best.pt"
_BY_ITERATION: dict[str, Any] = {
    "global_step_transform": lambda engine, event: engine.state.iteration,
    "greater_or_equal": True,  # a file of this iteration is replaced: validation may have followed it
}


class TrainingCheckpoint:
    """Save a training in ``output_dir`` as ``checkpoint_<iteration>.pt`` and ``best.pt``; a resumed one goes on as if
    it had never stopped.

    A file is there completely or not at all, and an old one is deleted only after the new one is on the disk. Weights
    that are not finite are never saved. While the training runs, the folder is locked: a second training in it is
    refused; the lock of a process that has died is gone with it. Attach it after the handlers that validate and that
    watch the loss, and before those that want to know at the start whether the training is a resumed one (tracking:
    ``state.mlflow_run_id``).

    Args:
        output_dir: folder of the files; made when training starts. It may hold checkpoints only if it is resumed from.
        every_epochs: epochs between checkpoints; one more follows at the end.
        every_iterations: iterations between checkpoints, in addition, where epochs are long; None for none.
        keep_last: number of checkpoints to keep, besides the best.
        best_metric: name in ``state.metrics`` whose smallest value marks the best, whenever a validation has completed;
            None keeps no best.
        resume: a checkpoint file, or a folder whose newest checkpoint is taken, or, where that is damaged, the one
            before, with a warning (a folder without any starts from the beginning, so that a job that is restarted by
            itself needs no second command); ``"last"`` for the newest of ``output_dir``; None starts anew.
        settings: plain values that describe the run, kept in the checkpoints; a resumed training logs what has changed.

    Raises:
        ValueError: when a number is not positive.
        CheckpointError: at the start, when ``resume`` cannot be continued, or ``output_dir`` holds another run's
            checkpoints or is in use by another training.
        TrainingStoppedError: when the disk refuses a file, or weights are not finite; the last good checkpoint is
            named.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        every_epochs: int = 1,
        every_iterations: int | None = 2000,
        keep_last: int = 3,
        best_metric: str | None = "val_loss",
        resume: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if keep_last < 1 or (every_iterations is not None and every_iterations < 1):
            raise ValueError(
                f"keep_last and every_iterations must be at least 1; received {keep_last} and {every_iterations}."
            )
        self.folder = Path(output_dir)
        self.keep_last = keep_last
        self.best_metric = best_metric
        self.resume = _resume_point(resume, self.folder)
        self.settings = settings
        self._epochs = epochs_completed(every_epochs)
        self._every_iterations = every_iterations
        self._saved_iteration = -1
        self._lock = FolderLock(self.folder)

    def attach(self, engine: PretrainingTrainer) -> None:
        """Resume at the start of the training, and save on its events."""
        self._state = TrainingState(engine, settings=self.settings)
        saver = AtomicSaver(self.folder)
        content = {"training": self._state}
        self._last = Checkpoint(content, saver, filename_pattern=NAME_PATTERN, n_saved=self.keep_last, **_BY_ITERATION)
        self._best = Checkpoint(content, saver, filename_pattern=_BEST, n_saved=1, score_function=_negative_metric)
        engine.add_event_handler(Events.STARTED, self._start)
        if self._every_iterations is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self._every_iterations), self._save_last)
        engine.add_event_handler(PretrainingEvents.VALIDATION_COMPLETED, self._save_best)
        engine.add_event_handler(self._epochs, self._save_last)
        engine.add_event_handler(PretrainingEvents.CHECKPOINT_REQUESTED, self._save_once)
        engine.add_event_handler(Events.COMPLETED, self._save_once)
        engine.add_event_handler(Events.COMPLETED, self._lock.release)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._release)

    def _start(self, engine: PretrainingTrainer) -> None:
        decided_by_first(lambda: self._take_folder(engine))
        if self._saved_iteration == engine.state.iteration:  # the trainer runs on, as in a round of federated learning
            return
        path, damaged = decided_by_first(lambda: self._choose(engine))
        if path is not None:
            self._state.load(path)
            engine.state.last_checkpoint = str(path)
            self._saved_iteration = engine.state.iteration
            logger.info("Training is resumed from %s after iteration %d.", path, engine.state.iteration)
        elif self.resume is not None:
            logger.warning("There is no checkpoint in %s yet: training starts from the beginning.", self.resume)
        if process_rank() == 0:
            self._adopt_checkpoints(engine, resumed_from=path, damaged=damaged)

    def _take_folder(self, engine: PretrainingTrainer) -> None:
        """Keep other trainings out of the folder, from before the first look at its files."""
        if self.resume is not None and not self.resume.exists():
            raise CheckpointError(
                "Training cannot be resumed from {path}: it does not exist. Give a file or a folder.", path=self.resume
            )
        self._check_writable(engine)
        try:
            self._lock.acquire()
        except FolderInUseError as error:
            raise CheckpointError(
                "Another training writes its checkpoints to {folder}: {reason}. Wait until it has ended, end it, or"
                " choose another output_dir.",
                folder=self.folder,
                reason=error,
            ) from error

    def _choose(self, engine: PretrainingTrainer) -> tuple[Path | None, list[Path]]:
        """What to resume from, and which files are damaged; a training that begins gets its number."""
        path, damaged = (None, []) if self.resume is None else find_whole_checkpoint(self.resume)
        if path is None:
            engine.state.run_number = next_run_number(self.folder)
            self._lock.note(run_number=engine.state.run_number)
        return path, damaged

    def _release(self, engine: PretrainingTrainer, error: BaseException) -> None:
        self._lock.release()

    def _check_writable(self, engine: PretrainingTrainer) -> None:
        """Find out before hours of training whether the folder takes files."""
        probe = self.folder / ".writable"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(probe, lambda file: None)
            probe.unlink()
        except OSError as error:
            raise _refusal(self.folder, error, engine) from error

    def _adopt_checkpoints(
        self, engine: PretrainingTrainer, *, resumed_from: Path | None, damaged: Sequence[Path]
    ) -> None:
        """Look after the files that an earlier process of this training left; refuse those of another training."""
        remove_partial_files(self.folder)
        found = list_checkpoints(self.folder)
        if found and (resumed_from is None or resumed_from.resolve().parent != self.folder.resolve()):
            raise CheckpointError(
                "{folder} holds checkpoints of another run, the newest is {newest}: continue that run with"
                " resume={folder}, or choose another output_dir.",
                folder=self.folder,
                newest=found[-1][1].name,
            )
        for iteration, path in found:
            if iteration > engine.state.iteration:
                ending = "damaged" if path in damaged else "superseded"
                logger.warning("%s is later than the point of resumption and is set aside as *.%s.", path, ending)
                path.replace(path.with_name(f"{path.name}.{ending}"))
        kept = [(iteration, path.name) for iteration, path in found if iteration <= engine.state.iteration]
        self._last.load_state_dict({"_saved": kept})
        if engine.state.best_metric_epoch != -1 and (self.folder / _BEST).is_file():
            self._best.load_state_dict({"_saved": [(-engine.state.best_metric, _BEST)]})

    def _save_last(self, engine: PretrainingTrainer) -> None:
        self._save(engine, self._last, NAME_PATTERN.format(global_step=engine.state.iteration))
        self._saved_iteration = engine.state.iteration

    def _save_once(self, engine: PretrainingTrainer) -> None:
        if self._saved_iteration != engine.state.iteration:
            self._save_last(engine)

    def _save_best(self, engine: PretrainingTrainer) -> None:
        state = engine.state
        if self.best_metric is None or state.iteration == 0:  # an untrained network is no candidate
            return
        value = float(state.metrics[self.best_metric])
        if math.isfinite(value) and (state.best_metric_epoch == -1 or value < state.best_metric):
            state.best_metric, state.best_metric_epoch = value, state.epoch
            self._save(engine, self._best, _BEST)

    def _save(self, engine: PretrainingTrainer, checkpoint: Checkpoint, name: str) -> None:
        _refuse_non_finite(engine)
        try:
            checkpoint(engine)
        except OSError as error:
            raise _refusal(self.folder / name, error, engine) from error
        engine.state.last_checkpoint = str(self.folder / name)
        engine.fire_event(PretrainingEvents.CHECKPOINT_SAVED)


def _resume_point(resume: str | Path | None, folder: Path) -> Path | None:
    """Where to continue from; nowhere when the run's own folder is named before the run has begun."""
    if resume is None or (Path(resume).resolve() == folder.resolve() and not folder.exists()):
        return None
    return folder if resume == "last" else Path(resume)


def _negative_metric(engine: Any) -> float:
    """Ignite keeps the highest score; the best metric is the smallest."""
    return -engine.state.best_metric


def _refusal(path: Path, error: OSError, engine: PretrainingTrainer) -> TrainingStoppedError:
    last = engine.state.last_checkpoint
    advice = "" if last is None else ", and continue with resume={last}"
    return TrainingStoppedError(
        f"Training stopped at iteration {engine.state.iteration}: no checkpoint can be written to {{path}} ({{reason}})"
        f". The last good checkpoint is {{last}}. Free space or choose another output_dir{advice}.",
        path=path,
        reason=error,
        last=last,
    )


def _refuse_non_finite(engine: PretrainingTrainer) -> None:
    tensors = {name: value for name, value in unwrap(engine.network).state_dict().items() if value.is_floating_point()}
    finite = torch.stack([value.isfinite().all() for value in tensors.values()])
    if not finite.all():
        name = list(tensors)[int((~finite).nonzero()[0])]
        last = engine.state.last_checkpoint
        raise TrainingStoppedError(
            f"Training stopped at iteration {engine.state.iteration}: {name} holds values that are not finite, and "
            "was not saved. The last good checkpoint is {last}. Lower the learning rate or look for bad images.",
            last=last,
        )
