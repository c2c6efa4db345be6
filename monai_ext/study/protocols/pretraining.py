"""Pre-training of an encoder: the bundle's train.json with the study's budget."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from monai_ext.files import write_atomically
from monai_ext.handlers import find_checkpoint
from monai_ext.networks.weights.files import read_weights
from monai_ext.study.cells.bundles import run_config
from monai_ext.study.cells.cell import Cell
from monai_ext.study.cells.encoders import file_sha256
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["compute", "encoder_path", "pretrain"]


def encoder_path(folder: StudyFolder, name: str) -> Path:
    """Where the encoder of a pre-training cell is kept."""
    return folder.encoders / f"{name}.pt"


def compute(
    cell: Cell, *, task: PreparedTask | None, folder: StudyFolder, device: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pre-train, keep the encoder; a training that was killed goes on from its last checkpoint."""
    work = folder.work / cell.name
    workflow = pretrain(cell, work=work, device=device)
    state = workflow.parser.get_parsed_content("train::trainer").state
    content = read_weights(work / "run" / "encoder.pt")
    provenance = {"mlflow_run_id": content["metadata"].pop("mlflow_run_id", None)}
    path = encoder_path(folder, cell.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: torch.save(content, file))
    shutil.rmtree(work, ignore_errors=True)
    results = {
        "encoder_sha256": file_sha256(path),
        "images_seen": int(state.images_seen),
        "iterations": int(state.iteration),
    }
    return results, provenance


def pretrain(cell: Cell, *, work: Path, device: str | None, **others: Any) -> Any:
    """Run train.json of a pre-training bundle; ``others`` are more overrides, by id."""
    run = work / "run"
    resume = find_checkpoint(run) if run.is_dir() else None
    if resume is None:
        shutil.rmtree(work, ignore_errors=True)
        run.mkdir(parents=True)
    overrides: dict[str, Any] = {
        **cell.paths["overrides"],
        "bundle_root": str(work),
        "output_dir": str(run),
        "resume": None if resume is None else str(run),
        "num_workers": 0,
    }
    if cell.paths["dataset_dir"] is None:
        overrides["sample_epochs"] = None
    else:
        overrides["dataset_dir"] = cell.paths["dataset_dir"]
    if cell.inputs["images_seen"] is not None:
        overrides["images_seen"] = cell.inputs["images_seen"]
    if device is not None:
        overrides["device::name"] = device
    return run_config(Path(cell.paths["bundle"]), ["train.json"], overrides | others)
