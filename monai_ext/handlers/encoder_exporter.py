"""Export what pre-training is for: the encoder alone, as plain weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

import monai_ext
from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.errors import TrainingStoppedError
from monai_ext.files import write_atomically
from monai_ext.handlers.training_state import plain_values
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.parallel.processes import process_rank, unwrap

__all__ = ["EncoderExporter"]


class EncoderExporter:
    """Write ``network.encoder`` as ``{"state_dict": ..., "metadata": ...}``, every few epochs and after the last.

    The state dict is that of the plain backbone, on the CPU, and loads into the stock MONAI network; the metadata says
    where it comes from (method, iteration, images seen, version of this package, and what the caller adds). The file is
    replaced in one step and is readable with ``weights_only=True``.

    Args:
        path: of the file; its folder is made.
        every_epochs: epochs between exports.
        metadata: plain values to add, such as backbone, channels and window.

    Raises:
        ValueError: when ``every_epochs`` is not positive.
        TrainingStoppedError: when the disk refuses the file.
    """

    def __init__(self, path: str | Path, *, every_epochs: int = 10, metadata: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        self.metadata = plain_values(metadata or {})
        self._exported_iteration = -1
        self._epochs = epochs_completed(every_epochs)

    def attach(self, engine: PretrainingTrainer) -> None:
        """Export at the end of epochs of the trainer, in one process."""
        if process_rank() == 0:
            engine.add_event_handler(self._epochs, self._export)
            engine.add_event_handler(Events.COMPLETED, self._export_at_the_end)

    def _export_at_the_end(self, engine: PretrainingTrainer) -> None:
        """Make up for an export that was missed, as in a process that was killed right after its last checkpoint."""
        if self._exported_iteration != engine.state.iteration:
            self._export(engine)

    def _export(self, engine: PretrainingTrainer) -> None:
        network = unwrap(engine.network)
        content = {
            "state_dict": weights_on_cpu(network.encoder),
            "metadata": {
                "method": type(network).__name__,
                "iteration": engine.state.iteration,
                "images_seen": engine.state.images_seen,
                "monai_ext_version": monai_ext.__version__,
                **_tracked_run(engine),
                **self.metadata,
            },
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, lambda file: torch.save(content, file))
        except OSError as error:
            raise TrainingStoppedError(
                f"Training stopped at iteration {engine.state.iteration}: the encoder was not written to {self.path} "
                f"({error.strerror or error}). The last good checkpoint is {engine.state.last_checkpoint or 'none'}. "
                "Free space or choose another output_dir."
            ) from error
        self._exported_iteration = engine.state.iteration
        engine.state.encoder_path = str(self.path)
        engine.fire_event(PretrainingEvents.ENCODER_EXPORTED)


def _tracked_run(engine: PretrainingTrainer) -> dict[str, str]:
    """The MLflow run that the encoder comes from, for the lineage of what is fine-tuned from it."""
    run_id = getattr(engine.state, "mlflow_run_id", None)
    return {"mlflow_run_id": run_id} if run_id else {}
