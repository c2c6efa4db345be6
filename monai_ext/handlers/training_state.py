"""Everything that a training needs to go on exactly where it was: gathered into one dictionary, and put back."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from torch import Tensor, nn

from monai_ext.engines.automatic_choices import settled
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.errors import CheckpointError, DamagedCheckpointError, DamagedFileError
from monai_ext.foreign_text import listed
from monai_ext.parallel.processes import unwrap
from monai_ext.parallel.random_streams import RandomStreams
from monai_ext.torch_files import read_torch_file

__all__ = ["TrainingState", "plain_values", "read_checkpoint"]

logger = logging.getLogger(__name__)

_FORMAT = "monai_ext training checkpoint, version 2"
_OLDER = "monai_ext training checkpoint, version 1"
"""Of trainings with other views, MoCo's queue without sample ids, and SwAV's projection once a size of views."""


class TrainingState:
    """The state of a trainer: network, optimiser, gradient scaler, progress, position in the data, random streams.

    Loading refuses what would not be the same training: another method, architecture, optimiser, data set or batch
        size.
    Random streams are put back right before the first batch is read, after everything that may draw from them at the
    start.

    Args:
        trainer: whose state it is.
        settings: plain values that describe the run, such as the numbers that a person changes in a config; kept in the
            checkpoint, and compared on resume, where differences are logged.
    """

    def __init__(self, trainer: PretrainingTrainer, *, settings: Mapping[str, Any] | None = None) -> None:
        self.trainer = trainer
        self.settings = plain_values(settings or {})
        self.random_streams = RandomStreams()

    def state_dict(self) -> dict[str, Any]:
        """Everything, as tensors and plain values; every process of a distributed run must call it."""
        trainer = self.trainer
        stream = _stream(trainer)
        return {
            "format": _FORMAT,
            "method": type(unwrap(trainer.network)).__name__,
            "network": unwrap(trainer.network).state_dict(),
            "optimizer_name": type(trainer.optimizer).__name__,
            "optimizer": trainer.optimizer.state_dict(),
            "precision": trainer.precision.name,
            "scaler": trainer.precision.scaler.state_dict(),
            "progress": self._progress(),
            "stream": None if stream is None else stream.state_dict(),
            "random_streams": self.random_streams.state_dict(),
            "settings": settled(self.settings, trainer),
        }

    def load(self, path: Path) -> None:
        """Continue from a checkpoint file.

        Raises:
            CheckpointError: when the file is damaged, or of another method, architecture, optimiser, data set or batch
                size.
        """
        state = read_checkpoint(path)
        trainer = self.trainer
        network = unwrap(trainer.network)
        _check_network(network, state, path)
        self._check_run(state, path)
        trainer.precision.keep(state.get("precision", state["settings"].get("precision")))
        network.load_state_dict(state["network"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.precision.scaler.load_state_dict(state["scaler"])
        self._set_progress(state["progress"], path)
        self._set_stream(state["stream"], path)
        self._restore_random_streams(state["random_streams"])
        self._report_changes(state)

    def _progress(self) -> dict[str, Any]:
        state, length = self.trainer.state, self.trainer.length
        return {
            "iteration": state.iteration,
            "epoch_length": length.epoch_length,
            "batch_size": length.batch_size,
            "total_iterations": length.total_iterations,
            "best_metric": float(state.best_metric),
            "best_metric_epoch": state.best_metric_epoch,
            "mlflow_run_id": getattr(state, "mlflow_run_id", None),
            "run_number": getattr(state, "run_number", 0),
        }

    def _set_progress(self, progress: dict[str, Any], path: Path) -> None:
        state, length = self.trainer.state, self.trainer.length
        state.iteration = progress["iteration"]
        is_complete = state.iteration >= length.total_iterations  # the last epoch may be complete before it is full
        state.epoch = length.max_epochs if is_complete else state.iteration // length.epoch_length
        state.images_seen = state.iteration * length.batch_size
        for name in ("best_metric", "best_metric_epoch", "mlflow_run_id"):
            setattr(state, name, progress[name])
        state.run_number = progress.get("run_number", 0)  # runs of earlier versions have none
        if progress["total_iterations"] != length.total_iterations:
            logger.warning(
                "The length of the training is now %d iterations; %s was written in a training of %d. Schedules "
                "follow the new length from here on.",
                length.total_iterations,
                path,
                progress["total_iterations"],
            )

    def _set_stream(self, saved: dict[str, Any] | None, path: Path) -> None:
        """Move the stream of images behind those that were trained on."""
        stream, position = _stream(self.trainer), self.trainer.state.images_seen
        if stream is None:
            return
        try:
            stream.load_state_dict({**(saved or stream.state_dict()), "position": position})
        except ValueError as error:
            raise CheckpointError(f"{path} cannot be continued: {error}") from error

    def _restore_random_streams(self, saved: dict[str, Any]) -> None:
        def restore() -> None:
            self.random_streams.load_state_dict(saved)
            handle.remove()

        handle = self.trainer.add_event_handler(Events.GET_BATCH_STARTED, restore)

    def _check_run(self, state: dict[str, Any], path: Path) -> None:
        trainer, progress = self.trainer, state["progress"]
        groups = [len(group["params"]) for group in trainer.optimizer.param_groups]
        saved_groups = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
        for what, saved, present in (
            ("optimiser", state["optimizer_name"], type(trainer.optimizer).__name__),
            ("sizes of the parameter groups", saved_groups, groups),
            ("batch size", progress["batch_size"], trainer.length.batch_size),
            ("iterations an epoch", progress["epoch_length"], trainer.length.epoch_length),
        ):
            if saved != present:
                raise CheckpointError(
                    f"{path} cannot be continued by this training: {what} was {saved} and is now {present}. Resume "
                    "with the settings and the data that it was written with, or start anew."
                )

    def _report_changes(self, state: Mapping[str, Any]) -> None:
        precision = self.trainer.precision.name
        present = {"precision": precision, **settled(self.settings, self.trainer)}
        saved = {"precision": state.get("precision", precision), **state["settings"]}
        for name in sorted(saved.keys() | present.keys()):
            if saved.get(name) != present.get(name):
                logger.warning(
                    "The training is resumed with another %s: %r, it was %r.", name, present.get(name), saved.get(name)
                )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint file, on the CPU.

    Raises:
        DamagedCheckpointError: when it is truncated, or a bit of it has changed since it was written.
        CheckpointError: when it does not exist, or is no training checkpoint.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}: give the path of a checkpoint file, or of its folder.")
    try:
        state = read_torch_file(path)
    except DamagedFileError as error:
        raise DamagedCheckpointError(_damaged(path)) from error
    except Exception as error:  # torch.load raises errors of many kinds
        if zipfile.is_zipfile(path):  # and it is whole
            raise CheckpointError(_foreign(path)) from error
        raise DamagedCheckpointError(_damaged(path)) from error
    if isinstance(state, dict) and state.get("format") == _OLDER:
        raise CheckpointError(
            f"{path} was written by an older version of this project, in which views were drawn by another rule, "
            "MoCo's queue did not know whose keys it holds, and SwAV projected views of each size by themselves "
            "(CHANGELOG.md): training would go on as another one. Resume it with the version that wrote it, or start "
            "anew; its weights are read by monai_ext.networks.weights.load_encoder."
        )
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise CheckpointError(_foreign(path))
    return state


def _damaged(path: Path) -> str:
    return (
        f"The checkpoint {path} ({path.stat().st_size} bytes) cannot be read: it is truncated or damaged. Resume from "
        "another checkpoint of its folder, or name the folder, whose newest whole one is taken."
    )


def _foreign(path: Path) -> str:
    return (
        f"{path} is no training checkpoint of this project, hence training cannot be resumed from it. Weights alone "
        "are read by monai_ext.networks.weights.load_encoder."
    )


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON knows them, others (paths, numpy numbers) as text: what a safely readable file may hold."""
    return json.loads(json.dumps(dict(values), default=str))


def _check_network(network: nn.Module, state: dict[str, Any], path: Path) -> None:
    method = type(network).__name__
    if state["method"] != method:
        raise CheckpointError(
            f"{path} is of the method {state['method']}, but this training is of {method}: resume it with the bundle "
            "that wrote it."
        )
    saved, present = state["network"], network.state_dict()
    missing = [name for name in present if name not in saved]
    unexpected = [name for name in saved if name not in present]
    reshaped = [
        f"{name} {tuple(saved[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in present.items()
        if name in saved and _shape(saved[name]) != _shape(tensor)
    ]
    if missing or unexpected or reshaped:
        raise CheckpointError(
            f"{path} is of another architecture than this training's {method}. Missing in it: {_some(missing)}; not "
            f"in the network: {_some(unexpected)}; of another shape: {_some(reshaped)}. Resume with the backbone, "
            "decoder and channels that it was written with."
        )


def _stream(trainer: PretrainingTrainer) -> Any:
    """The sampler of the data loader, if it can be moved to a position."""
    candidates = [getattr(trainer.data_loader, name, None) for name in ("stream", "sampler")]
    return next((sampler for sampler in candidates if hasattr(sampler, "set_position")), None)


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _some(names: list[str]) -> str:
    return listed(names, most=3) or "nothing"
