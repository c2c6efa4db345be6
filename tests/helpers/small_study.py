"""A study that runs in seconds: a tiny network on small pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.labelled_pictures import gray_picture
from helpers.tiny_resnet import TINY_CLASSIFIER
from monai_ext.study.executors import LocalExecutor
from monai_ext.study.plan import StudyPlan, parse_plan
from monai_ext.study.preparation import prepare
from monai_ext.study.records import StudyFolder
from monai_ext.study.runner import StudyResult, run_study

TINY = {"network_def": TINY_CLASSIFIER, "image_size": 32, "batch_size": 8, "learning_rate": 0.01}


def write_study_pictures(folder: Path, *, patients: int = 18, contrast: int = 25, swap_test: bool = False) -> Path:
    """Two pictures a patient, published in three sections, every third patient in each of them."""
    generator = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    lines = ["file,label,patient_id,split"]
    for patient in range(patients):
        label, section = patient % 2, ("train", "val", "test")[(patient // 2) % 3]
        for number in range(2):
            name = f"images/{patient:02d}_{number}.png"
            picture = gray_picture(patient, bright=False).astype(float) + contrast * label
            noise = 20 * generator.normal(size=picture.shape)
            Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8)).save(folder / name)
            recorded = 1 - label if swap_test and section == "test" else label
            lines.append(f"{name},{('NonCOVID', 'COVID')[recorded]},patient {patient},{section}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def small_plan(data: Path, **changes: Any) -> dict[str, Any]:
    """Content of a plan with 12 probe cells of scratch and 12 of gray levels."""
    plan = {
        "name": "small",
        "methods": {"scratch": {}},
        "tasks": {
            "pictures": {
                "bundle": "covid19_classification",
                "dataset_dir": str(data),
                "splits": {"folds": 3, "test": "each_fold"},
            }
        },
        "overrides": TINY,
        "fractions": [1, 0.5],
        "protocols": {"probe": {"subsets": 3}},
    }
    return json.loads(json.dumps({**plan, **changes}))


def run_small(content: dict[str, Any], folder: Path, *, executor: Any = None) -> StudyResult:
    """Run a plan in a folder."""
    plan: StudyPlan = parse_plan(content)
    home = StudyFolder(folder)
    with home.locked():
        home.adopt(plan.name)
        return run_study(prepare(plan, home), executor or LocalExecutor(workers=2))


def results_of(folder: Path) -> dict[str, Any]:
    """Of every record what does not depend on when and where it was made."""
    records = {path.stem: json.loads(path.read_text()) for path in (folder / "records").glob("*.json")}
    return {name: {key: record[key] for key in ("cell", "inputs", "results")} for name, record in records.items()}
