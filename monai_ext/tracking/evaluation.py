"""An evaluation as a run of its own, beside the training that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed

from monai_ext.tracking.mlflow import PARENT_TAG
from monai_ext.tracking.provenance import bundle_tags, source_tags, version_tags
from monai_ext.tracking.run import TrackedRun
from monai_ext.tracking.training_metrics import scalars

__all__ = ["log_evaluation"]


def log_evaluation(
    metrics: Mapping[str, Any],
    *,
    experiment: str,
    pictures: Mapping[str, str | Path] | None = None,
    files: Mapping[str, str | Path] | None = None,
    parameters: Mapping[str, Any] | None = None,
    parent_run_id: str | None = None,
    bundle_root: str | None = None,
    output_dir: str | Path | None = None,
) -> str | None:
    """Log the result of an evaluation or inference that no evaluator engine carries.

    Where there is an evaluator, attach :class:`~monai_ext.tracking.MLflowTracker` to it instead.

    Args:
        metrics: single numbers, or vectors of them.
        experiment: MLflow experiment; that of the training, so that MLflow shows the evaluation below it.
        pictures: PNG or JPEG files by name.
        files: other files or folders by the artifact folder that they go to.
        parameters: what a person chose.
        parent_run_id: run of the training that made the weights.
        bundle_root: folder of the bundle, for its name and version.
        output_dir: where it waits if MLflow cannot be reached.

    Returns:
        The new run's id; None when MLflow does not answer, and in processes other than the first.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_rank():
        return None
    tags = {**source_tags(), **version_tags(), **bundle_tags(bundle_root)}
    if parent_run_id:
        tags |= {PARENT_TAG: parent_run_id, "mlflow.parentRunId": parent_run_id}
    run = TrackedRun(experiment, tags=tags, spool_dir=output_dir, system_metrics=False)
    try:
        run.open()
        run.log_parameters(parameters or {})
        run.log_metrics(scalars(metrics), step=0)
        for name, path in (pictures or {}).items():
            run.log_picture(path, name=name, step=0)
        for folder, path in (files or {}).items():
            run.log_artifact(path, folder=folder)
    except BaseException as error:
        run.close(error)
        raise
    run.close()
    return run.run_id
