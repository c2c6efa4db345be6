"""Features of all images of a task, computed once for each encoder and kept in the study's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.files import write_atomically
from monai_ext.study.cells.cell import Cell, name_of
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["encoder_features", "feature_key", "gray_features"]

_BATCH = 64


def feature_key(cell: Cell) -> str:
    """Name of a cell's features: cells with the same one share them."""
    kept = ["monai_ext", "protocol_version", "data_fingerprint"]
    if cell.protocol == "gray_levels":
        return name_of({name: cell.inputs[name] for name in [*kept, "window"]} | {"of": "gray levels"})
    encoder = cell.inputs["encoder_sha256"]
    which = {"encoder": encoder or f"random weights of seed {cell.seed}"}
    return name_of({name: cell.inputs[name] for name in [*kept, "config_sha256"]} | which)


def encoder_features(cell: Cell, *, task: PreparedTask, folder: StudyFolder, device: str | None) -> np.ndarray:
    """(N, D) float32, pooled features of all images of the task in the order of its items.

    The bundle's own config opens and preprocesses the images and builds the network, whose head is left out; batch norm
    uses the statistics that the encoder came with.
    """
    return _kept(folder.features, feature_key(cell), lambda: _encode(cell, device))


def gray_features(cell: Cell, *, task: PreparedTask, folder: StudyFolder) -> np.ndarray:
    """(N, 12) float32, gray-level statistics and size of all images of the task."""
    from monai_ext.checks.gray_statistics import gray_statistics, image_size

    def measure() -> np.ndarray:
        images = task.open_images(window=cell.inputs["window"])
        planes = (images[number]["image"].numpy() for number in range(len(images)))
        return np.stack([np.concatenate([gray_statistics(plane), image_size(plane)]) for plane in planes])

    return _kept(folder.features, feature_key(cell), measure)


def _encode(cell: Cell, device: str | None) -> np.ndarray:
    import torch
    from monai.bundle import ConfigParser
    from monai.data import Dataset
    from monai.transforms import Compose
    from monai.utils import set_determinism
    from torch.utils.data import DataLoader

    overrides = {
        **cell.paths["overrides"],
        "dataset_dir": cell.paths["dataset_dir"],
        "pretrained": cell.paths["encoder"],
        "bundle_root": cell.paths["bundle"],
        "seed": cell.seed,
        "num_workers": 0,
        "validate::dataset::data": "$@images.choose('all')",
    }
    parser = ConfigParser(ConfigParser.load_config_files([f"{cell.paths['bundle']}/configs/train.json"]))
    for key, value in overrides.items():
        parser[key] = value
    set_determinism(cell.seed)
    network: Any = parser.get_parsed_content("start").network
    network.fc = torch.nn.Identity()
    where = torch.device(device) if device else parser.get_parsed_content("device")
    network = network.to(where).eval()
    prepared = Compose(parser.get_parsed_content("validate::dataset::transform"))
    dataset = Dataset(parser.get_parsed_content("validate::dataset::data"), prepared)
    rows = []
    with torch.inference_mode():
        for batch in DataLoader(dataset, batch_size=_BATCH):
            rows.append(network(batch["image"].to(where)).float().cpu().numpy())
    return np.concatenate(rows)


def _kept(folder: Path, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of this name, computed by whoever comes first while others wait."""
    return _loaded(folder, key) if (folder / f"{key}.npy").is_file() else _computed(folder, key, compute)


def _computed(folder: Path, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / f".{key}.lock"):
        path = folder / f"{key}.npy"
        if not path.is_file():
            values = compute().astype(np.float32)
            write_atomically(path, lambda file: np.save(file, values))
    return _loaded(folder, key)


@lru_cache(maxsize=4)
def _loaded(folder: Path, key: str) -> np.ndarray:
    return np.asarray(np.load(folder / f"{key}.npy", allow_pickle=False))


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    import fcntl

    with open(path, "a+") as file:  # closing it, or the end of the process, opens the lock
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
