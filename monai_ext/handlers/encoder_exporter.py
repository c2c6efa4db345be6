"""Export what pre-training is for: the encoder alone, as plain weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

import monai_ext
from monai_ext.engines.automatic_choices import settled
from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.files import write_result
from monai_ext.handlers.training_state import plain_values
from monai_ext.networks.weights.adaptation import adaptation_plan
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.parallel.processes import process_rank, unwrap

__all__ = ["ENCODER_FILE", "EncoderExporter"]

ENCODER_FILE = "encoder.pt"


class EncoderExporter:
    """Write ``network.encoder`` as ``{"state_dict": ..., "metadata": ...}``, again and again and at the end.

    The state dict is that of the plain backbone, on the CPU, and loads into the stock MONAI network; the metadata says
    where it comes from (method, iteration, images seen, version of this package, and what the caller adds). The file is
    replaced in one step and is readable with ``weights_only=True``.

    When training reaches one of the budgets in ``keep_at_images`` of its length, the encoder is also written beside it
    under a name of its own, ``encoder_10000_images.pt``, and stays: what less pre-training would have given. Its
    ``images_seen`` are those that its weights have seen; where ``metadata`` names those of the whole training, they
    are ``images_of_schedule``.

    Args:
        output_dir: folder of the file, ``encoder.pt``; it is made.
        every_epochs: epochs between exports; None exports whenever held-out slices have been judged.
        metadata: plain values to add, such as backbone, channels and window.

    Raises:
        ValueError: when ``every_epochs`` is not positive.
        TrainingStoppedError: when the disk refuses the file.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        every_epochs: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(output_dir) / ENCODER_FILE
        self.metadata = plain_values(metadata or {})
        self._exported_iteration = -1
        validated = PretrainingEvents.VALIDATION_COMPLETED
        self._time = validated if every_epochs is None else epochs_completed(every_epochs)

    def attach(self, engine: PretrainingTrainer) -> None:
        """Export at the end of epochs of the trainer, in one process."""
        if process_rank() == 0:
            engine.add_event_handler(self._time, self._export)
            engine.add_event_handler(Events.COMPLETED, self._export_at_the_end)
            if engine.length.keep_at_images:
                engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)

    def _export_at_the_end(self, engine: PretrainingTrainer) -> None:
        """Make up for an export that was missed, as in a process that was killed right after its last checkpoint."""
        if self._exported_iteration != engine.state.iteration:
            self._export(engine)

    def _keep(self, engine: PretrainingTrainer) -> None:
        """Write the encoder once more when this iteration has reached a budget."""
        seen, before = engine.state.images_seen, engine.state.images_seen - engine.length.batch_size
        for budget in engine.length.keep_at_images:
            if before < budget <= seen:
                self._write(engine, self.path.with_name(f"{self.path.stem}_{budget}_images{self.path.suffix}"))

    def _export(self, engine: PretrainingTrainer) -> None:
        if engine.state.iteration == 0:  # the validation before the training
            return
        self._write(engine, self.path)
        self._exported_iteration = engine.state.iteration
        engine.state.encoder_path = str(self.path)
        engine.fire_event(PretrainingEvents.ENCODER_EXPORTED)

    def _write(self, engine: PretrainingTrainer, path: Path) -> None:
        network = unwrap(engine.network)
        metadata = settled(self.metadata, engine)
        schedule = {"images_of_schedule": metadata["images_seen"]} if metadata.get("images_seen") else {}
        content = {
            "state_dict": weights_on_cpu(network.encoder),
            "metadata": {
                "method": type(network).__name__,
                "iteration": engine.state.iteration,
                "monai_ext_version": monai_ext.__version__,
                **_tracked_run(engine),
                **metadata,
                **schedule,  # the settings have the whole training's images; these are of the weights in the file
                "images_seen": engine.state.images_seen,
                "adaptation_plan": adaptation_plan(network.encoder, metadata),
            },
        }
        write_result(path, lambda file: torch.save(content, file), what="the encoder", state=engine.state)


def _tracked_run(engine: PretrainingTrainer) -> dict[str, str]:
    """The MLflow run that the encoder comes from, for the lineage of what is fine-tuned from it."""
    run_id = getattr(engine.state, "mlflow_run_id", None)
    return {"mlflow_run_id": run_id} if run_id else {}
