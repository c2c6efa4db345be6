"""Full fine-tuning: the bundle's train.json, then its evaluate.json on test, as a user runs them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from monai_ext.errors import StudyError
from monai_ext.handlers import find_checkpoint
from monai_ext.study.cells.bundles import run_config
from monai_ext.study.cells.cell import Cell
from monai_ext.study.protocols.judging import judged
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["compute", "train"]


def compute(cell: Cell, *, task: PreparedTask, folder: StudyFolder, device: str | None) -> tuple[dict, dict]:
    """Results of a fine-tuning cell; one that was killed goes on from its last checkpoint."""
    work = folder.work / cell.name
    workflow = train(cell, work=work, device=device)
    trainer = workflow.parser.get_parsed_content("train::trainer")
    state = trainer.state
    chosen = {
        "best_epoch": int(state.best_metric_epoch),
        "best_validation_metric": float(state.best_metric),
        "epochs": int(state.epoch),
        "iterations": int(state.iteration),
    }
    threshold = getattr(state, "threshold", None)
    probabilities = _evaluated(cell, task, work, device)
    results = judged(probabilities, cell=cell, task=task, chosen=chosen, threshold=threshold)
    shutil.rmtree(work, ignore_errors=True)
    return results, {"images_seen": int(state.iteration) * int(workflow.parser.get("batch_size"))}


def train(cell: Cell, *, work: Path, device: str | None, **others: Any) -> Any:
    """Run train.json; the test section is not opened.

    Args:
        cell: what to train.
        work: folder of this cell alone; a checkpoint in it is resumed.
        device: None for the bundle's own choice.
        others: more overrides, by id.
    """
    run = work / "run"
    resume = find_checkpoint(run) if run.is_dir() else None
    if resume is None:
        shutil.rmtree(work, ignore_errors=True)
        run.mkdir(parents=True)
    overrides = {
        **cell.paths["overrides"],
        **_data(cell, work, device),
        "section": cell.size,
        "pretrained": cell.paths["encoder"],
        "seed": cell.seed,
        "output_dir": str(run),
        "resume": None if resume is None else str(run),
        **others,
    }
    return run_config(Path(cell.paths["bundle"]), ["train.json"], overrides)


def _evaluated(cell: Cell, task: PreparedTask, work: Path, device: str | None) -> np.ndarray:
    """(N, K) probabilities of the test images."""
    evaluation = work / "eval"
    overrides = {
        **_not_in_the_model(cell),
        **_data(cell, work, device),
        "models": str(work / "run" / "model.pt"),
        "section": "test",
        "output_dir": str(evaluation),
    }
    run_config(Path(cell.paths["bundle"]), ["train.json", "evaluate.json"], overrides)
    with open(evaluation / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    test = task.test_set(cell.fold)
    if [row["label"] for row in rows] != [task.classes[number] for number in test.labels]:
        raise StudyError(f"The evaluation of {cell.label} judged other images than the study's test set.")
    return np.array([[float(row[f"probability_{name}"]) for name in task.classes] for row in rows])


def _not_in_the_model(cell: Cell) -> dict[str, Any]:
    """Overrides that evaluate.json does not take from the trained model, such as another network."""
    overlay = ConfigParser.load_config_file(str(Path(cell.paths["bundle"]) / "configs" / "evaluate.json"))
    return {key: value for key, value in cell.paths["overrides"].items() if key.split("::")[0] not in overlay}


def _data(cell: Cell, work: Path, device: str | None) -> dict[str, Any]:
    """Where a cell reads and writes: its own folder is the bundle's root, so that nothing is published elsewhere."""
    settings = {
        "bundle_root": str(work),
        "dataset_dir": cell.paths["dataset_dir"],
        "splits": cell.paths["splits"],
        "fold": cell.fold,
        "num_workers": 0,
    }
    return settings if device is None else settings | {"device::name": device}
