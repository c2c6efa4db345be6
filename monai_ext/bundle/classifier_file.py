"""The trained classifier of a bundle: written at the end of training, read by evaluation, inference and export."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ext.bundle.model_file import MODEL_FILE, load_model, model_setting
from monai_ext.engines.automatic_choices import settled
from monai_ext.errors import WeightsError
from monai_ext.files import write_atomically
from monai_ext.handlers.training_state import plain_values
from monai_ext.networks.ensemble import ProbabilityEnsemble
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.parallel.processes import process_rank, unwrap
from monai_ext.running_config import refusal, running_config_folder

__all__ = ["agreeing_models", "load_classifiers", "mean_threshold", "publish_classifier"]

logger = logging.getLogger(__name__)

_SHARED = ("backbone", "in_channels", "image_size", "window", "class_names")


def publish_classifier(bundle_root: str, *, trainer: Any, output_dir: str, metadata: Mapping[str, Any]) -> None:
    """Write a training's result to its own folder, and to ``models/model.pt``, where the other configs look.

    The file is ``{"state_dict": ..., "metadata": ...}``, readable with ``weights_only=True``: the weights of the best
    epoch (which :class:`~monai_ext.handlers.BestModelResults` has put into the network), and what evaluation and
    inference need to treat images as training did.

    Args:
        bundle_root: folder of the bundle.
        trainer: whose training has ended.
        output_dir: the run's folder.
        metadata: plain values such as backbone, image size and class names; the bundle's version, the threshold, the
            best epoch with its metric, and the MLflow run are added.
    """
    if process_rank() != 0:
        return
    state = trainer.state
    weights = weights_on_cpu(unwrap(trainer.network))
    told = {
        **plain_values(settled(metadata, trainer)),
        **_bundle(bundle_root),
        "threshold": getattr(state, "threshold", None),
        "best_epoch": state.best_metric_epoch,
        "best_metric": float(state.best_metric),
        "mlflow_run_id": getattr(state, "mlflow_run_id", None),
    }
    content = {"state_dict": weights, "metadata": told}
    published = Path(bundle_root) / "models" / MODEL_FILE
    try:
        for path in (Path(output_dir) / MODEL_FILE, published):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda file: torch.save(content, file))
    except OSError as error:
        raise refusal(
            type(error)(
                f"Publishing the trained model in {published}: {error.strerror or error}. The run's own folder, "
                f"{output_dir}, has its checkpoints; free space and resume the run."
            )
        ) from error
    logger.info("The trained model is %s, a copy of it is %s.", Path(output_dir) / MODEL_FILE, published)


def load_classifiers(
    network: nn.Module, *, models: str | Sequence[str], device: torch.device | str = "cpu"
) -> ProbabilityEnsemble:
    """The trained models as one classifier, whose probabilities are the mean of theirs.

    Args:
        network: of the architecture that was trained.
        models: one path or several, of files by :func:`publish_classifier`.
        device: where to put them.

    Raises:
        WeightsError: a file is damaged or no such file, or its weights do not fit, such as those for another number of
            classes.
    """
    paths = _as_list(models)
    return ProbabilityEnsemble([load_model(copy.deepcopy(network), model=path, device=device) for path in paths]).eval()


def agreeing_models(models: str | Sequence[str]) -> str:
    """The first of several models, after making sure that one network and one preprocessing serves them all.

    Args:
        models: one path or several, of files by :func:`publish_classifier`.

    Raises:
        WeightsError: there is none, a file is damaged, or models differ in backbone, channels, image size, window or
            classes.
    """
    paths = _as_list(models)
    if not paths:
        raise refusal(WeightsError("No model was named: give one path, or a list of them, with --models."))
    for name in _SHARED:
        values = {path: model_setting(path, name=name) for path in paths}
        different = [path for path in paths if values[path] != values[paths[0]]]
        if different:
            raise refusal(
                WeightsError(
                    f"These models cannot be one ensemble: {name} is {values[paths[0]]!r} in {paths[0]} and"
                    f" {values[different[0]]!r} in {different[0]}. Evaluate them one by one."
                )
            )
    return paths[0]


def mean_threshold(models: str | Sequence[str]) -> float | None:
    """The mean of the thresholds that the models' trainings chose on validation; None when one has none."""
    chosen = [model_setting(path, name="threshold") for path in _as_list(models)]
    return None if None in chosen else sum(chosen) / len(chosen)


def _as_list(models: str | Sequence[str]) -> list[str]:
    return [models] if isinstance(models, str) else list(models)


def _bundle(bundle_root: str) -> dict[str, str | None]:
    """Name and version of the bundle whose config is being run, which may be another folder than its root."""
    running = running_config_folder()
    for configs in ([] if running is None else [running]) + [Path(bundle_root).resolve() / "configs"]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            metadata = json.loads((configs / "metadata.json").read_text(encoding="utf-8"))
            return {"bundle": configs.parent.name, "bundle_version": str(metadata["version"])}
    return {"bundle": Path(bundle_root).name, "bundle_version": None}
