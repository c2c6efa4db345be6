"""Two small hospitals: a tiny bundle, folders of pictures with patients' names in them, and settings of the sites."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.bundle_files import REPOSITORY, TINY_COMPONENTS, merged_config, tiny_training, walk
from monai_ext.federated.plan import SITES_VARIABLE

MARK = "Zqx7"
"""Stands in every name of a folder, file and patient."""


def tiny_bundle(folder: Path, name: str, **changes: object) -> Path:
    """A copy of a bundle whose network is tiny, with changed values at the top of its ``train.json``."""
    source = REPOSITORY / "bundles" / name
    copy = shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("models", "eval"))
    file = copy / "configs" / "train.json"
    config = json.loads(file.read_text())
    tiny = tiny_training(source)
    for place, component in list(walk(merged_config(source, "train"))):
        if isinstance(component, dict) and component.get("_target_") in TINY_COMPONENTS:
            *parents, last = place.split("::")
            parent = config
            for key in parents:
                parent = parent[key]
            parent[last] = tiny[place]
    small = {"image_size": 64, "batch_size": 4, "decoder_width": 32, "learning_rate": 0.01, **changes}
    file.write_text(json.dumps({**config, **{key: small[key] for key in small if key in config or key in changes}}))
    return copy


def write_pictures(folder: Path, count: int, *, phase: float = 0.0) -> Path:
    """Smooth pictures, each different, named after patients."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[0:72, 0:72] / 72
    for number in range(count):
        gray = 127 * (1 + np.sin(4 * rows + number) * np.cos(6 * columns + phase))
        Image.fromarray(gray.astype(np.uint8)).save(folder / f"{MARK}_Jane_{number:02d}.png")
    return folder


def two_folders(folder: Path) -> dict[str, Path]:
    """A large and a small site."""
    return {
        f"site-{number}": write_pictures(folder / f"{MARK} {number}" / "ct", count, phase=number)
        for number, count in ((1, 12), (2, 7))
    }


def set_sites(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bundles: dict[str, Path], data: dict[str, Path], **settings: object
) -> Path:
    """Write the sites' own file and name it in the environment; gives the folder that sites write to."""
    output = folder / f"{MARK} out"
    common = {"output_dir": str(output), "tracking": False, "precision": "fp32", "num_workers": 0, **settings}
    content = {site: {**common, "bundle": str(bundles[site]), "dataset_dir": str(data[site])} for site in sorted(data)}
    file = folder / f"{MARK} sites.json"
    file.write_text(json.dumps(content))
    monkeypatch.setenv(SITES_VARIABLE, str(file))
    return output
