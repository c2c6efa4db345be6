"""Records of a study whose truth is known: every method's scores are drawn from two normal distributions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from monai_ext.study.cells import Cell
from monai_ext.study.plan import parse_plan
from monai_ext.study.plan.study_plan import GRAY_LEVELS
from monai_ext.study.records import StudyFolder, write_record
from monai_ext.study.records.index import write_index

SIZES = {"0.1": 10, "0.25": 25, "0.5": 50, "training": 100}
MEASURED = {
    "seconds": 2.0,
    "peak_memory_mib": 500.0,
    "processor": "a processor",
    "accelerator": None,
    "versions": {"torch": "2.13"},
    "code": {"mlflow.source.git.commit": "0123456789abcdef"},
}


def write_fake_study(
    path: Path,
    separations: Mapping[str, float],
    *,
    patients: int = 60,
    folds: int = 5,
    seed: int = 0,
    near_duplicates: int = 0,
) -> StudyFolder:
    """A finished probe study.

    Args:
        path: of its folder.
        separations: of every method, the distance of the two classes in standard deviations with all labels; with fewer
            labels it shrinks.
        patients: in the test set of each fold.
        folds: number of folds.
        seed: of the draws.
        near_duplicates: test images of every fold that resemble training images.
    """
    plan = parse_plan(
        {
            "name": "fake",
            "description": "Known truth.",
            "methods": {name: {} for name in separations if name != GRAY_LEVELS},
            "tasks": {"CT": {"bundle": "covid19_classification", "dataset_dir": "x"}},
            "fractions": [1, 0.5, 0.25, 0.1],
            "protocols": {"probe": {}},
            "targets": [0.7, 0.8],
        }
    )
    folder = StudyFolder(path)
    folder.adopt("fake")
    folder.keep_plan(asdict(plan))
    generator = np.random.default_rng(seed)
    cells = []
    for fold in range(folds):
        difficulty = generator.normal(size=patients)
        for method, separation in separations.items():
            for size, labels in SIZES.items():
                protocol = "gray_levels" if method == GRAY_LEVELS else "probe"
                inputs = {
                    "monai_ext": "0.1",
                    "protocol_version": 1,
                    "of": [method, size, fold, seed],
                    "encoder_sha256": None,
                    "data_fingerprint": "f" * 64,
                    "bundle": "covid19_classification",
                }
                cell = Cell(protocol, method, "CT", size, fold, 0, 0, inputs)
                noise = 0.7 * difficulty + 0.7 * generator.normal(size=patients)
                truth = np.arange(patients) % 2
                share = 1 / (1 + np.exp(-(noise + separation * (labels / 100) ** 0.3 * (truth - 0.5))))
                write_record(
                    folder.records,
                    cell,
                    results=_results(truth, share, fold, labels, near_duplicates),
                    measured=MEASURED,
                )
                cells.append(cell)
    write_index(folder, cells)
    return folder


def _results(truth: np.ndarray, share: np.ndarray, fold: int, labels: int, near_duplicates: int) -> dict:
    ids = [f"{fold:08x}{number:08x}" for number in range(len(truth))]
    return {
        "metrics": {"auc": 0.5},
        "chosen": {},
        "threshold": 0.5,
        "class_names": ["NonCOVID", "COVID"],
        "positive_class": "COVID",
        "grouped_by": "patient_id",
        "labels_per_class": labels,
        "n_training": 2 * labels,
        "n_validation": 40,
        "test_set": f"test {fold}",
        "predictions": {
            "ids": ids,
            "groups": ids,
            "labels": truth.tolist(),
            "near_duplicates": list(range(near_duplicates)),
            "probabilities": np.stack([1 - share, share], axis=1).tolist(),
        },
    }
