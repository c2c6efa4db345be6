"""Loss, learning rate, weight decay, images seen and images per second of a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from torch import Tensor

from monai_ext.tracking.spool import Entry

__all__ = ["TrainingMetrics", "images_seen", "scalars"]

MOST_POINTS = 20_000


class TrainingMetrics:
    """Collects what an iteration gives in microseconds, and makes one point of every n iterations.

    The loss of a point is the mean over its iterations. Losses stay on the device until the background thread reads
    them, so that training does not wait for a GPU. Images per second count the time of iterations with their loading
    of data, without validation between epochs.

    Args:
        every_iterations: n; None makes at most 20,000 points of a training.
    """

    def __init__(self, *, every_iterations: int | None = None) -> None:
        self.every_iterations = every_iterations
        self.every = 1
        self._losses: list[Tensor | float] = []

    def start(self, engine: Engine) -> None:
        """Begin at the engine's present iteration."""
        total = (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
        self.every = self.every_iterations or -(-total // MOST_POINTS)
        self._reset(images_seen(engine))
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave out the time since the last iteration."""
        self._clock = time.perf_counter()

    def add(self, engine: Engine) -> Callable[[], Entry] | None:
        """Take note of an iteration; gives a function that makes the entry when a point is complete."""
        loss = _loss(engine.state.output)
        if loss is not None:
            self._losses.append(loss)
        now = time.perf_counter()
        self._seconds += now - self._clock
        self._clock = now
        return self.point(engine) if engine.state.iteration % self.every == 0 else None

    def point(self, engine: Engine) -> Callable[[], Entry]:
        """Close the point at this iteration, complete or not."""
        losses, values = self._losses, self._values(engine)
        step, milliseconds = engine.state.iteration, int(time.time() * 1000)

        def make() -> Entry:
            if losses:
                values["loss"] = torch.stack([torch.as_tensor(loss) for loss in losses]).float().mean().item()
            return "metrics", [[name, value, milliseconds, step] for name, value in values.items()]

        return make

    @property
    def incomplete(self) -> bool:
        """Whether iterations have been noted that no point contains yet."""
        return bool(self._losses)

    def _values(self, engine: Engine) -> dict[str, float]:
        values: dict[str, float] = {}
        optimizer = getattr(engine, "optimizer", None)
        if optimizer is not None:
            groups = optimizer.param_groups
            values["learning_rate"] = float(max(group["lr"] for group in groups))
            values["weight_decay"] = float(max(group.get("weight_decay", 0.0) for group in groups))
        seen = images_seen(engine)
        if seen is not None:
            values["images_seen"] = float(seen)
            if self._seen is not None and self._seconds > 0:
                values["images_per_second"] = (seen - self._seen) / self._seconds
        self._reset(seen)
        return values

    def _reset(self, seen: int | None) -> None:
        self._losses = []
        self._seconds = 0.0
        self._seen = seen


def images_seen(engine: Engine) -> int | None:
    """Images that the training has seen in all processes; None where neither the engine nor its loader tells."""
    seen = getattr(engine.state, "images_seen", None)
    if seen is not None:
        return int(seen)
    batch_size = getattr(getattr(engine.state, "dataloader", None), "batch_size", None)
    if batch_size is None:
        return None
    processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    return int(engine.state.iteration * batch_size * processes)


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as single numbers: vectors become ``name_0``, ``name_1`` ...; what is no number is left out.

    >>> scalars({"auc": 0.5, "recall": [0.25, 1.0], "note": "none"})
    {'auc': 0.5, 'recall_0': 0.25, 'recall_1': 1.0}
    """
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            numbers = torch.as_tensor(value).flatten().tolist()
        except (TypeError, ValueError, RuntimeError):
            continue
        single = len(numbers) == 1
        flat.update({name if single else f"{name}_{index}": float(item) for index, item in enumerate(numbers)})
    return flat


def _loss(output: Any) -> Tensor | float | None:
    """The loss in an engine's output: a number, a dictionary with it, or a list of those (MONAI's decollated batch)."""
    if isinstance(output, Sequence) and output and isinstance(output[0], Mapping):
        output = output[0]
    if isinstance(output, Mapping):
        output = output.get("loss")
    if isinstance(output, Tensor):
        return output.detach().reshape(()) if output.numel() == 1 else None
    return float(output) if isinstance(output, int | float) else None
