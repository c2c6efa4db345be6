"""The rounds of a federated training in the server's MLflow; each site follows its own training in its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from monai_ext.federated.plan import FederatedPlan
from monai_ext.federated.record import RECORD_FILE
from monai_ext.tracking.operations import Artifact, Metrics, Parameters
from monai_ext.tracking.run import TrackedRun

__all__ = ["FederatedTracking"]

logger = logging.getLogger(__name__)


class FederatedTracking:
    """One run in the experiment ``federated``: metrics by round, and ``federated.json``.

    Used as a context, which ends the run with what ended the training. A store that refuses leaves the training
    without one.

    Args:
        plan: of the training.
        folder: of its results; what MLflow does not take waits there.
        enabled: False follows nothing.
    """

    def __init__(self, plan: FederatedPlan, folder: Path, *, enabled: bool = True) -> None:
        self.plan = plan
        self.folder = folder
        self._run: TrackedRun | None = None
        self._enabled = enabled

    def __enter__(self) -> FederatedTracking:
        if self._enabled:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{self.plan.bundle} in {self.plan.rounds} rounds"
            run = TrackedRun("federated", run_name=name, spool_dir=self.folder)
            try:
                run.open()
            except RuntimeError as error:
                logger.warning("%s The training goes on without; federated.json has everything.", error)
            else:
                self._run = run
                plan = self.plan.as_plain()
                run.log(Parameters({name: str(value) for name, value in {**plan, **plan["overrides"]}.items()}))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._run is not None:
            self._run.close(error, last=[Artifact(str((self.folder / RECORD_FILE).resolve()))])

    def log_round(self, number: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a round that is complete."""
        if self._run is not None:
            self._run.log(Metrics.at_step(metrics, number))
