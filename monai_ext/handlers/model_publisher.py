"""When a training has ended, put its result where the other configs of the bundle, and other people, look for it."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events

from monai_ext.engines.automatic_choices import settled
from monai_ext.errors import TrainingStoppedError
from monai_ext.files import read_json, write_atomically
from monai_ext.handlers.encoder_exporter import ENCODER_FILE
from monai_ext.handlers.training_state import plain_values
from monai_ext.networks.weights import write_model
from monai_ext.networks.weights.model_file import MODEL_FILE, REFERENCE_FILE, SAFETENSORS_FILE
from monai_ext.parallel.processes import process_rank, unwrap
from monai_ext.running_config import running_config_folder
from monai_ext.torch_files import read_torch_file

__all__ = ["ModelPublisher"]

logger = logging.getLogger(__name__)

FORMER = (SAFETENSORS_FILE, REFERENCE_FILE)
"""What a package has beside its weights, and what is no longer true once these are replaced."""


class ModelPublisher:
    """Write ``model.pt`` and ``model.json`` to the bundle's ``models`` and to the run's folder, in the first process.

    ``model.pt`` is the state dict of the network, or of the best epoch where
    :class:`~monai_ext.handlers.BestModelResults` has chosen one; ``model.json`` beside it says what evaluation and
    inference need to treat images as training did. Where an encoder was exported, ``models`` gets a copy of it. Each
    file is replaced in one step. The run's folder is that of the trainer's last checkpoint. Attach it after the
    handlers that choose, export and track. In a package that is trained on, the former weights in another format and
    the statistics of the former training go: who reads them would answer with the former model.

    Args:
        bundle_root: folder of the bundle.
        metadata: plain values, such as backbone and image size; the bundle's name and version, the MLflow run, and of a
            chosen model its epoch, metric and threshold are added.

    Raises:
        TrainingStoppedError: at the end, when the disk refuses a file.
    """

    def __init__(self, bundle_root: str, *, metadata: Mapping[str, Any]) -> None:
        self.models = Path(bundle_root) / "models"
        self.metadata = {**plain_values(metadata), **_bundle(bundle_root)}

    def attach(self, engine: Any) -> None:
        """Publish at the end of the trainer's run."""
        if process_rank() == 0:
            engine.add_event_handler(Events.STARTED, self._make_last)

    def _make_last(self, engine: Any) -> None:
        """Act behind a tracker, which knows the id of its run for certain only when it has closed it."""
        if not engine.has_event_handler(self._publish, Events.COMPLETED):
            engine.add_event_handler(Events.COMPLETED, self._publish)

    def _publish(self, engine: Any) -> None:
        state = engine.state
        best = getattr(state, "best_weights", None)
        weights = unwrap(engine.network) if best is None else read_torch_file(best)
        settings = settled(self.metadata, engine)
        metadata = {**settings, **_chosen(state), "mlflow_run_id": getattr(state, "mlflow_run_id", None)}
        if hasattr(unwrap(engine.network), "encoder"):
            metadata["method"] = type(unwrap(engine.network)).__name__
        run = None if state.last_checkpoint is None else Path(state.last_checkpoint).parent
        try:
            self._remove_former()
            for folder in [self.models] if run is None else [run, self.models]:
                write_model(folder / MODEL_FILE, weights, metadata=metadata)
            encoder = getattr(state, "encoder_path", None)
            if encoder is not None:
                with open(encoder, "rb") as source:
                    write_atomically(self.models / ENCODER_FILE, lambda file: shutil.copyfileobj(source, file))
        except OSError as error:
            raise TrainingStoppedError(
                "The training is complete, but its model was not published in {models}: {reason}. The run's own folder,"
                " {run}, has what was written until then; free space, or name another --bundle_root, and run the"
                " command again with --resume last.",
                models=self.models,
                reason=error,
                run=run,
            ) from error
        logger.info("The trained model is %s, a copy of that in %s.", self.models / MODEL_FILE, run)

    def _remove_former(self) -> None:
        for path in (self.models / name for name in FORMER):
            if path.is_file():
                path.unlink()
                logger.info("Removed %s, which was of the model that is now replaced.", path)


def _chosen(state: Any) -> dict[str, Any]:
    """How the best epoch was chosen, where one was."""
    if not hasattr(state, "best_weights"):
        return {}
    metric = float(state.best_metric)
    return {
        "threshold": state.threshold,
        "best_epoch": state.best_metric_epoch,
        "best_value": metric if math.isfinite(metric) else None,
    }


def _bundle(bundle_root: str) -> dict[str, str | None]:
    """Name and version of the bundle whose config is being run, which may be another folder than its root."""
    running = running_config_folder()
    for configs in ([] if running is None else [running]) + [Path(bundle_root).resolve() / "configs"]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            metadata = read_json(configs / "metadata.json")
            return {"bundle": configs.parent.name, "bundle_version": str(metadata["version"])}
    return {"bundle": Path(bundle_root).name, "bundle_version": None}
