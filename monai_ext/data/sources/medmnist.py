"""MedMNIST files: their items with labels and published parts, and their pictures as a source of slices."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.sources.source import SliceSource, describe_sizes, group_name
from monai_ext.data.tables import read_table
from monai_ext.errors import DatasetError, SplitError
from monai_ext.files import file_sha256

__all__ = ["MedMNISTItems", "MedMNISTSource", "read_medmnist_items"]

LARGEST_ARRAY_BYTES = 2**34
"""Of one part once it is decompressed: the largest gray set that is published has 12 GB with 224 px."""

_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class MedMNISTItems:
    """What a file says about its pictures, in the order of ``train``, ``val``, ``test``.

    Attributes:
        ids: ``train/00042``.
        labels: one class an item.
        parts: ``train``, ``val`` or ``test``.
        volumes: of a table ``<name>_volumes.csv`` beside the file; empty where there is none.
        sha256: of the file.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    parts: tuple[str, ...]
    volumes: tuple[str, ...]
    sha256: str


class MedMNISTSource(SliceSource):
    """Gray pictures of ``train_images``, ``val_images`` and ``test_images``, in this order, as 28 to 224 px files have.

    All of them are held in memory, as 8-bit arrays.

    Args:
        path: the file (.npz), as published.

    Raises:
        DatasetError: the file is damaged, is no MedMNIST file, or its pictures are not gray.
        SplitError: its labels, or the table of its volumes, cannot be read.
    """

    kind = "MedMNIST"
    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path) -> None:
        items = read_medmnist_items(path)
        self.grouped_by = "volume" if items.volumes else "item"
        held_together = [group_name(path.name, group) for group in items.volumes or items.ids]
        super().__init__(path.parent, held_together=held_together, fingerprint=items.sha256)
        self._parts = [_read_images(path, part) for part in _PARTS]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)])
        if self._starts[-1] != len(self):
            raise DatasetError(
                f"{path.name} has {self._starts[-1]} pictures and {len(self)} labels: it is damaged. Download it again."
            )

    def read(self, index: int) -> np.ndarray:
        """One picture: float32 (rows, columns), 0 .. 255."""
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[part][index - self._starts[part]].astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """The size of the pictures, which is one for all."""
        return describe_sizes([self._parts[0].shape[1:]])


def read_medmnist_items(path: Path) -> MedMNISTItems:
    """Read labels and parts of a file as published, ``train_labels`` and the same for ``val`` and ``test``.

    Raises:
        SplitError: it is damaged, is no MedMNIST file, or has several labels an item; or the table of volumes beside it
            does not fit.
    """
    ids: list[str] = []
    labels: list[str] = []
    parts: list[str] = []
    try:
        for part in _PARTS:
            values = _read_array(path, f"{part}_labels", _check_labels)
            ids += [f"{part}/{number:05d}" for number in range(len(values))]
            labels += [str(int(value)) for value in values.ravel()]
            parts += [part] * len(values)
        status = path.stat()
        sha256 = _sha256(path, status.st_size, status.st_mtime_ns)
    except SplitError:
        raise
    except Exception as error:  # zipfile, numpy and the file system have errors of many types for a damaged file
        raise SplitError(f"{path} cannot be read as a MedMNIST file: {error!r}. Download it again.") from error
    volumes = _volumes(path.with_name(f"{path.stem}_volumes.csv"), ids)
    return MedMNISTItems(tuple(ids), tuple(labels), tuple(parts), volumes, sha256)


def _read_images(path: Path, part: str) -> np.ndarray:
    try:
        return _read_array(path, f"{part}_images", _check_images)
    except DatasetError:
        raise
    except Exception as error:  # zipfile, numpy and the file system have errors of many types for a damaged file
        raise DatasetError(f"{path} cannot be read as a MedMNIST file: {error!r}. Download it again.") from error


def _read_array(path: Path, name: str, check: Any) -> np.ndarray:
    """Decompress an array, after ``check`` has seen its shape and type: what a file declares is not believed."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
        check(path, name, shape, dtype)
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _check_images(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) != 3 or dtype != np.uint8:
        raise DatasetError(
            f"The {name.removesuffix('_images')} images of {path.name} have shape {shape} and type {dtype}: gray"
            " pictures (n, rows, columns) of type uint8 can be read."
        )
    if math.prod(shape) > LARGEST_ARRAY_BYTES or min(shape) < 1:
        raise DatasetError(
            f"{path.name} declares {name} of shape {shape}, which no MedMNIST file has. Download it again."
        )


def _check_labels(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        count = shape[1] if len(shape) == 2 else f"an array {shape} of"
        raise SplitError(f"{path.name} has {count} labels an item; one class an item is supported.")
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize > LARGEST_ARRAY_BYTES // 64:
        raise ValueError(f"{name} are {shape} of type {dtype}")


def _volumes(path: Path, ids: Sequence[str]) -> tuple[str, ...]:
    """The volume of every item; empty where there is no table of them."""
    if not path.is_file():
        return ()
    table = read_table(path, holding="table of volumes")
    known = dict(zip(table.column("item"), table.column("volume"), strict=True))
    missing = [item for item in ids if item not in known]
    if missing:
        shown = ", ".join(map(repr, missing[:3])) + ", ..." * (len(missing) > 3)
        raise SplitError(
            f"{len(missing)} of {len(ids)} items have no volume in {path.name}, such as {shown}: complete it."
        )
    return tuple(known[item] for item in ids)


@lru_cache(maxsize=8)
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    """Of a file's content; size and time of change tell a file that was replaced."""
    return file_sha256(path)
