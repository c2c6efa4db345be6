"""Small labelled pictures for the tests of classification bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers.bundle_files import merged_config, walk
from helpers.tiny_resnet import TINY_CLASSIFIER

SECTIONS = ("train", "train", "val", "test")

TINY_FINE_TUNING = {
    "network_def": TINY_CLASSIFIER,
    "image_size": 32,
    "batch_size": 4,
    "epochs": 2,
    "num_workers": 0,
    "learning_rate": 0.01,
}


def gray_picture(number: int, *, bright: bool, shape: tuple[int, int] = (40, 44)) -> np.ndarray:
    """A smooth picture (rows, columns), uint8; those of one class are brighter."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    waves = np.sin(5 * rows + number) * np.cos(7 * columns)
    return (60 + 40 * waves + 80 * bright + number % 3).astype(np.uint8)


def write_labelled_pictures(folder: Path, classes: tuple[str, str] = ("NonCOVID", "COVID"), count: int = 16) -> Path:
    """A folder with ``labels.csv`` (file, label, patient_id, split) and its pictures, two of a patient."""
    lines = ["file,label,patient_id,split"]
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        label = number % 2
        name = f"images/{number:02d}.png"
        Image.fromarray(gray_picture(number, bright=bool(label))).save(folder / name)
        lines.append(f"{name},{classes[label]},p{number // 4}{label},{SECTIONS[number // 4 % 4]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def untracked(bundle: Path, name: str) -> dict[str, Any]:
    """Overrides that leave MLflow out."""
    return {
        f"{place}::enabled": False
        for place, component in walk(merged_config(bundle, name))
        if isinstance(component, dict) and component.get("_target_") == "monai_ext.tracking.MLflowTracker"
    }
