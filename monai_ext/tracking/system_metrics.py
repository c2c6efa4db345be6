"""CPU, memory, disk, network and GPU of the machine, as MLflow's page of system metrics expects them."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from monai_ext.tracking.spool import Entry

__all__ = ["SystemMetrics"]

logger = logging.getLogger(__name__)


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

    def poll(self, *, last: bool = False) -> list[Entry]:
        """A sample as an entry, when it is time for one; also ``last``, at the end of the run.

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
        milliseconds = int(time.time() * 1000)
        points = [[f"system/{name}", float(value), milliseconds, self.step] for name, value in values.items()]
        self.step += 1
        return [("metrics", points)]

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
    import torch

    values: dict[str, float] = {}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            values[f"gpu_{index}_memory_usage_megabytes"] = (total - free) / 1e6
            values[f"gpu_{index}_memory_usage_percentage"] = round(100 * (1 - free / total), 1)
    return values
