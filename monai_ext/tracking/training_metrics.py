"""What is measured while a training runs: its loss, rates and images, and the machine's use."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine
from torch import Tensor

from monai_ext.parallel.processes import process_count
from monai_ext.tracking.operations import Metrics, Operation

__all__ = ["SystemMetrics", "TrainingMetrics", "images_seen", "scalars"]

logger = logging.getLogger(__name__)

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

    def add(self, engine: Engine) -> Metrics | None:
        """Take note of an iteration; gives the point that it completes."""
        loss = _loss(engine.state.output)
        if loss is not None:
            self._losses.append(loss)
        now = time.perf_counter()
        self._seconds += now - self._clock
        self._clock = now
        return self.point(engine) if engine.state.iteration % self.every == 0 else None

    def point(self, engine: Engine) -> Metrics:
        """Close the point at this iteration, complete or not."""
        losses, values = self._losses, self._values(engine)
        if losses:
            values["loss"] = torch.stack([torch.as_tensor(loss) for loss in losses]).float().mean()
        return Metrics.at_step(values, engine.state.iteration)

    @property
    def incomplete(self) -> bool:
        """Whether iterations have been noted that no point contains yet."""
        return bool(self._losses)

    def _values(self, engine: Engine) -> dict[str, Any]:
        values: dict[str, Any] = {}
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
    return int(engine.state.iteration * batch_size * process_count())


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


class SystemMetrics:
    """MLflow's own collectors, without its monitor, which stops for good at the first request that fails.

    GPUs are read through ``nvidia-ml-py`` where it is installed; otherwise their memory is read through PyTorch.
    MLflow's environment variables hold: ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` (seconds; 10 when unset) and
    ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false`` to have none.
    """

    def __init__(self) -> None:
        self.every_seconds = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or 10)
        self.enabled = os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() not in ("false", "0")
        self.step = 0
        self._next = 0.0
        self._collectors: list[Any] | None = None
        self._reads_gpu = False

    def poll(self, *, last: bool = False) -> list[Operation]:
        """A sample, when it is time for one; also ``last``, at the end of the run.

        The first call gives none: use of the CPU is measured between two calls.
        """
        now = time.monotonic()
        if not self.enabled or (now < self._next and not last):
            return []
        self._next = now + self.every_seconds
        first = self._collectors is None
        values = self._collect()
        if first and not last:
            return []
        sample = Metrics.at_step({f"system/{name}": value for name, value in values.items()}, self.step)
        self.step += 1
        return [sample]

    def _collect(self) -> dict[str, float]:
        if self._collectors is None:
            self._collectors = self._make_collectors()
        values: dict[str, float] = {}
        for collector in self._collectors:
            collector.collect_metrics()
            values.update(collector.aggregate_metrics())
            collector.clear_metrics()
        return values if self._reads_gpu else {**values, **_gpu_memory()}

    def _make_collectors(self) -> list[Any]:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        collectors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        try:
            collectors.append(GPUMonitor())
            self._reads_gpu = True
        except (ImportError, RuntimeError):
            logger.debug("GPU utilisation is not logged: nvidia-ml-py or a GPU is missing.")
        return collectors


def _gpu_memory() -> dict[str, float]:
    """Memory of the GPUs, if this process uses any, under the names of MLflow's collector."""
    values: dict[str, float] = {}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            values[f"gpu_{index}_memory_usage_megabytes"] = (total - free) / 1e6
            values[f"gpu_{index}_memory_usage_percentage"] = round(100 * (1 - free / total), 1)
    return values
