"""Features of the images of a task, computed once for each encoder and kept in the study's folder."""

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
_MOST_KEPT_BYTES = 2**30
"""Size up to which the preprocessed images of a task are kept."""


def feature_key(cell: Cell) -> str:
    """Cells with the same one share an encoder (or gray levels) on the same data, and so their features."""
    kept = ["monai_ext", "protocol_version", "data_fingerprint"]
    if cell.protocol == "gray_levels":
        return name_of({name: cell.inputs[name] for name in [*kept, "window"]} | {"of": "gray levels"})
    encoder = cell.inputs["encoder_sha256"]
    which = {"encoder": encoder or f"random weights of seed {cell.seed}"}
    return name_of({name: cell.inputs[name] for name in [*kept, "config_sha256"]} | which)


def encoder_features(cell: Cell, *, task: PreparedTask, folder: StudyFolder, device: str | None) -> np.ndarray:
    """(N, D) float32, pooled features of the task's images in the order of its items; NaN for those in no section.

    The bundle's own config opens and preprocesses the images and builds the network, whose head is left out; batch norm
    uses the statistics that the encoder came with.
    """
    key = _file_key(cell, task)
    return _spread(_kept(folder.features, key, lambda: _encode(cell, task, folder, device)), task)


def gray_features(cell: Cell, *, task: PreparedTask, folder: StudyFolder) -> np.ndarray:
    """(N, 12) float32, gray-level statistics and size of the task's images; NaN for those in no section."""
    from monai_ext.checks.gray_statistics import gray_statistics, image_size

    def measure() -> np.ndarray:
        images = task.open_images(window=cell.inputs["window"])
        planes = (images[int(number)]["image"].numpy() for number in task.used)
        return np.stack([np.concatenate([gray_statistics(plane), image_size(plane)]) for plane in planes])

    return _spread(_kept(folder.features, _file_key(cell, task), measure), task)


def _file_key(cell: Cell, task: PreparedTask) -> str:
    """Features of other images are kept in another file."""
    return name_of({"features of images in use": feature_key(cell), "images": task.used.tolist()})


def _spread(rows: np.ndarray, task: PreparedTask) -> np.ndarray:
    """A row for every item of the task, of which these are those in use."""
    if len(rows) == len(task.numbers):
        return rows
    values = np.full((len(task.numbers), rows.shape[1]), np.nan, dtype=np.float32)
    values[task.used] = rows
    return values


def _encode(cell: Cell, task: PreparedTask, folder: StudyFolder, device: str | None) -> np.ndarray:
    import torch
    from monai.bundle import ConfigParser
    from monai.utils import set_determinism

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
    with torch.inference_mode():
        batches = _batches(parser, _images_path(cell, task, folder), task)
        return np.concatenate([network(batch.to(where)).float().cpu().numpy() for batch in batches])


def _images_path(cell: Cell, task: PreparedTask, folder: StudyFolder) -> Path:
    """Where the preprocessed images of a task are kept for all encoders."""
    kept = ("monai_ext", "protocol_version", "data_fingerprint", "config_sha256")
    key = name_of({name: cell.inputs[name] for name in kept} | {"images": task.used.tolist()})
    return folder.features / f"images-{key}.npy"


def _batches(parser: Any, path: Path, task: PreparedTask) -> Iterator[Any]:
    """Preprocessed images (B, C, S, S) as the bundle's validation has them.

    Resizing takes several times as long as a small network does, so they are kept for other encoders, up to a size.
    """
    import torch
    from monai.data import Dataset
    from monai.transforms import Compose
    from torch.utils.data import DataLoader, Subset

    if not path.is_file():
        prepare = Compose(parser.get_parsed_content("validate::dataset::transform"))
        images = Dataset(parser.get_parsed_content("validate::dataset::data"), prepare)
        loader = DataLoader(Subset(images, task.used.tolist()), batch_size=_BATCH)
        prepared = (batch["image"].float() for batch in loader)
        if images[int(task.used[0])]["image"].numel() * 4 * len(task.used) > _MOST_KEPT_BYTES:
            yield from prepared
            return
        with _only_one(path.with_suffix(".lock")):
            if not path.is_file():
                values = np.concatenate([batch.numpy() for batch in prepared])
                write_atomically(path, lambda file: np.save(file, values))
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    for first in range(0, len(values), _BATCH):
        yield torch.from_numpy(np.array(values[first : first + _BATCH]))


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
