"""Finds out what a folder holds: pictures, DICOM or volumes, and refuses what cannot be told or should not be mixed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_ext.data.dicom.header import has_dicom_mark
from monai_ext.errors import DatasetError

__all__ = ["FolderScan", "scan_folder"]

logger = logging.getLogger(__name__)

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = (".mhd", ".mha", ".nrrd", ".nhdr")
"""MetaImage and NRRD; ``.mhd`` and ``.nhdr`` are headers of values in a file beside them."""

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_OTHER_SUFFIXES = (
    ".csv",
    ".gz",
    ".html",
    ".json",
    ".log",
    ".md",
    ".npy",
    ".npz",
    ".pdf",
    ".py",
    ".txt",
    ".xml",
    ".zip",
)
ITK_KIND = "MetaImage or NRRD"
_ACCEPTED = (
    "a folder (it may be nested) of PNG or JPEG pictures, of DICOM files, or of NIfTI, MetaImage or NRRD volumes"
)


@dataclass(frozen=True)
class FolderScan:
    """What was found: ``kind`` is ``"pictures"``, ``"DICOM"``, ``"NIfTI"`` or ``"MetaImage or NRRD"``.

    ``files`` are sorted by name.
    """

    root: Path
    kind: str
    files: tuple[Path, ...]


def scan_folder(path: str | Path) -> FolderScan:
    """Walk a folder that exists, or look at a single file, and say of what kind its images are.

    Hidden files and folders are passed over; files of other types (tables, notes) are ignored,
    what is no file (pipes, devices) is never opened. A file without a telling
    suffix counts as DICOM when it carries DICOM's mark, ``DICM`` at byte 128, or when there is nothing else: very old
    files lack the mark.

    Raises:
        DatasetError: a folder cannot be read, the path holds no image, or holds images of several kinds.
    """
    path = Path(path).expanduser()
    found: dict[str, list[Path]] = {"pictures": [], "DICOM": [], "NIfTI": [], ITK_KIND: [], "unknown": []}
    for file in [path] if path.is_file() else _walk(path):
        kind = _kind(file)
        if kind is not None:
            found[kind].append(file)
    unknown = found.pop("unknown")
    if unknown and not any(found.values()):
        found["DICOM"] = unknown
    kinds = [kind for kind, files in found.items() if files]
    if not kinds:
        raise DatasetError(f"There is no image in {path}. dataset_dir is {_ACCEPTED}.")
    root = path.parent if path.is_file() else path
    if len(kinds) > 1:
        counts = ", ".join(f"{len(found[kind])} {kind} (as {min(found[kind]).relative_to(root)})" for kind in kinds)
        raise DatasetError(
            f"{path} holds images of several kinds: {counts}. They do not share a gray scale, so they are not mixed:"
            " point dataset_dir at a folder with one kind."
        )
    return FolderScan(root=root, kind=kinds[0], files=tuple(sorted(found[kinds[0]])))


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder; links to files are followed, links to folders are not."""
    odd = []
    waiting = [folder]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as error:
            raise DatasetError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_file(follow_symlinks=False) or path.is_file():
                yield path
            elif not path.is_dir():
                odd.append(path.relative_to(folder))
    if odd:
        logger.warning(
            "%d entries of %s are passed over, such as %s: they are pipes, sockets, devices, or links to nothing.",
            len(odd),
            folder,
            min(odd),
        )


def _kind(file: Path) -> str | None:
    name = file.name.lower()
    if name.endswith(PICTURE_SUFFIXES):
        return "pictures"
    if name.endswith(NIFTI_SUFFIXES):
        return "NIfTI"
    if name.endswith(ITK_SUFFIXES):
        return ITK_KIND
    if name.endswith(DICOM_SUFFIXES):
        return "DICOM"
    if name.endswith(_OTHER_SUFFIXES):
        return None
    return "DICOM" if has_dicom_mark(file) else "unknown"
