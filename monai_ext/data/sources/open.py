"""The one place that decides what lies at a path, and opens it as a source of slices."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ext.data.phantoms.sample import embedded_sample
from monai_ext.data.sources.dicom import DicomSource
from monai_ext.data.sources.folder_scan import scan_folder
from monai_ext.data.sources.itk_volumes import ItkVolumeSource
from monai_ext.data.sources.medmnist import MedMNISTSource
from monai_ext.data.sources.nifti import NiftiSource
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.data.sources.source import SliceSource
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.store.reader import is_slice_store
from monai_ext.errors import DatasetError

__all__ = ["ACCEPTED", "IMAGES", "LABELS_TABLE", "MEDMNIST", "SLICE_STORE", "DataPlace", "find_data", "open_source"]

SLICE_STORE, MEDMNIST, LABELS_TABLE, IMAGES = "slice store", "MedMNIST", "labels table", "images"
TABLE_NAME = "labels.csv"
ACCEPTED = (
    "a folder (it may be nested) of PNG or JPEG pictures, of DICOM files, or of NIfTI, MetaImage or NRRD"
    " volumes, or a slice store; with labels: a labels table (.csv) beside its pictures, a folder with labels.csv, a"
    " folder with one folder of pictures"
    " for each class, a slice store with labels, or a MedMNIST file (.npz)"
)

_SOURCES: dict[str, Callable[[Path, Sequence[Path]], SliceSource]] = {
    "pictures": PictureSource,
    "DICOM": DicomSource,
    "NIfTI": NiftiSource,
    "MetaImage or NRRD": ItkVolumeSource,
}


@dataclass(frozen=True)
class DataPlace:
    """What lies at a path; made by :func:`find_data`.

    Attributes:
        path: the path.
        kind: ``"slice store"``, ``"MedMNIST"``, ``"labels table"`` (a CSV file, or a folder with ``labels.csv``) or
            ``"images"`` (a folder, or one file, of which only opening tells more).
        root: the folder that names are relative to.
    """

    path: Path
    kind: str
    root: Path

    @property
    def table(self) -> Path:
        """Of a labels table, its file."""
        return self.path / TABLE_NAME if self.path.is_dir() else self.path


def find_data(path: str | Path) -> DataPlace:
    """Say what lies at a path; nothing is walked or read but a store's manifest.

    Raises:
        DatasetError: there is nothing that may be looked at, or a pipe, socket or device.
    """
    path = Path(path).expanduser()
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError) as error:
        is_absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "does not exist" if is_absent else getattr(error, "strerror", None) or error
        raise DatasetError(f"The data cannot be read: {path} {reason}. Give {ACCEPTED}.") from error
    if is_folder:
        if is_slice_store(path):
            return DataPlace(path, SLICE_STORE, path)
        return DataPlace(path, LABELS_TABLE if (path / TABLE_NAME).is_file() else IMAGES, path)
    if not path.is_file():
        raise DatasetError(f"The data cannot be read: {path} is a pipe, socket or device. Give {ACCEPTED}.")
    kinds = {".npz": MEDMNIST, ".csv": LABELS_TABLE}
    return DataPlace(path, kinds.get(path.suffix.lower(), IMAGES), path.parent)


def open_source(data: str | Path | DataPlace | None, *, pictures: Sequence[str] | None = None) -> SliceSource:
    """Find out what lies at a path and open it.

    A folder with ``labels.csv`` is opened as the images that lie in it, whether the table names them or not, unless
    ``pictures`` says which.

    Args:
        data: the path, or what :func:`find_data` said of it; None for the embedded sample.
        pictures: names of pictures below the path's folder, in order.

    Raises:
        DatasetError: the path does not exist, holds no image, several kinds of images, or a damaged one.
    """
    place = data if isinstance(data, DataPlace) else find_data(embedded_sample() if data is None else data)
    if pictures is not None:
        return PictureSource(place.root, [place.root / name for name in pictures])
    if place.kind == SLICE_STORE:
        return StoreSource(place.path)
    if place.kind == MEDMNIST:
        return MedMNISTSource(place.path)
    scan = scan_folder(place.path)
    return _SOURCES[scan.kind](scan.root, scan.files)
