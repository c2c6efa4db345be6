"""A bundle of ours with a tiny trained classifier in it, as training would have left it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import resnet10

from helpers.bundle_files import REPOSITORY

SETTINGS: dict[str, Any] = {
    "backbone": "resnet10",
    "in_channels": 1,
    "image_size": 32,
    "class_names": ["NonCOVID", "COVID"],
    "positive_class": "COVID",
    "window": "lung",
    "window_hu": [-1350.0, 150.0],
    "threshold": 0.5,
    "bundle": "covid19_classification",
    "bundle_version": "0.1.0",
    "data_fingerprint": "0123456789abcdef",
    "mlflow_run_id": "f" * 32,
    "splits": "/home/somebody/splits.json",
    "columns": {"group": "patient_id"},
    "lineage": {"path": "/home/somebody/encoder.pt"},
    "seed": 0,
}


def write_trained_bundle(folder: Path, name: str = "covid19_classification", **settings: Any) -> Path:
    """Copy a bundle's files and add a random classifier of 32 x 32 pixels, the same each time."""
    bundle = folder / name
    for file in (REPOSITORY / "bundles" / name).rglob("*"):
        if file.is_file() and file.parent.name in (name, "configs", "docs"):
            target = bundle / file.relative_to(REPOSITORY / "bundles" / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    description = SETTINGS | settings
    torch.manual_seed(0)
    network = resnet10(
        spatial_dims=2,
        n_input_channels=description["in_channels"],
        num_classes=len(description["class_names"]),
        conv1_t_stride=2,
        bias_downsample=False,
    )
    models = bundle / "models"
    models.mkdir()
    torch.save(network.state_dict(), models / "model.pt")
    description["weights_sha256"] = hashlib.sha256((models / "model.pt").read_bytes()).hexdigest()
    (models / "model.json").write_text(json.dumps(description, indent=2))
    (models / "best_weights.pt").write_bytes(b"a checkpoint that stays at home")
    (bundle / "predictions").mkdir()
    (bundle / "predictions" / "predictions.csv").write_text("file,pred\nDoe_Jane.png,1\n")
    return bundle
