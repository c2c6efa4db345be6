"""Lists what lies below a folder, each file with what its name says about its kind."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.sources.folder_scan import ITK_SUFFIXES, NIFTI_SUFFIXES, PICTURE_SUFFIXES
from monai_ext.data.store.reader import is_slice_store

__all__ = ["SourceFile", "list_source"]

_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".iso")
_HEADER_SUFFIXES, _RAW_SUFFIXES = (".mhd", ".nhdr"), (".raw", ".zraw", ".raw.gz", ".raw.bz2")
"""A volume in two files: a header, and values that only the header explains."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file below the source.

    Args:
        name: path relative to the source; bytes that are no UTF-8 are kept as surrogates, as Python does.
        kind: ``"dicom"`` (anything that may be), ``"volume"`` (NIfTI, MetaImage, NRRD) or ``"picture"``.
        size: in bytes.
        changed_ns: time of the last change in nanoseconds.
        reason: why it is not even opened, None when it is.
    """

    name: str
    kind: str
    size: int
    changed_ns: int
    reason: SkipReason | None = None


def list_source(source: Path, *, apart_from: tuple[Path, ...] = ()) -> Iterator[SourceFile]:
    """Walk a folder, or take a single file, in order of names.

    Links to folders are followed, each folder once, so that loops end. A folder that cannot be listed, is hidden or
    is a slice store counts as one file that was not opened.

    Args:
        source: folder or file.
        apart_from: folders that are left out, as they are made by the ingestion itself.
    """
    if not source.is_dir():
        yield _look_at(source, source.name)
        return
    left_out = {_identity(folder) for folder in apart_from if folder.is_dir()}
    seen = {_identity(source)}
    waiting = [(source, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield _not_opened(prefix.rstrip("/"), SkipReason.UNREADABLE)
            continue
        below = []
        has_headers = any(entry.name.lower().endswith(_HEADER_SUFFIXES) for entry in entries)
        for entry in entries:
            name = prefix + entry.name
            if not _is_folder(entry):
                yield _look_at(Path(entry.path), name, beside_headers=has_headers)
                continue
            try:
                identity = _identity(Path(entry.path))
            except OSError:  # it vanished meanwhile
                yield _not_opened(name, SkipReason.UNREADABLE)
                continue
            if identity in left_out:
                continue
            reason = _folder_reason(entry, is_known=identity in seen)
            if reason is not None:
                yield _not_opened(name, reason)
                continue
            seen.add(identity)
            below.append((Path(entry.path), name + "/"))
        waiting.extend(reversed(below))


def _folder_reason(entry: os.DirEntry[str], *, is_known: bool) -> SkipReason | None:
    if is_known:
        return SkipReason.LINK_LOOP
    if entry.name.startswith("."):
        return SkipReason.HIDDEN
    return SkipReason.SLICE_STORE if is_slice_store(entry.path) else None


def _look_at(path: Path, name: str, *, beside_headers: bool = False) -> SourceFile:
    try:
        status = path.stat()
    except OSError:
        return _not_opened(name, SkipReason.BROKEN_LINK if path.is_symlink() else SkipReason.UNREADABLE)
    lower = path.name.lower()
    kind = "dicom"
    if lower.endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES)):
        kind = "volume"
    elif lower.endswith(PICTURE_SUFFIXES):
        kind = "picture"
    return SourceFile(
        name, kind, status.st_size, status.st_mtime_ns, _file_reason(status, lower, kind, beside_headers=beside_headers)
    )


def _file_reason(status: os.stat_result, lower: str, kind: str, *, beside_headers: bool) -> SkipReason | None:
    if not stat.S_ISREG(status.st_mode):
        return SkipReason.SPECIAL_FILE
    if lower.startswith("."):
        return SkipReason.HIDDEN
    if status.st_size == 0:
        return SkipReason.EMPTY
    if beside_headers and lower.endswith(_RAW_SUFFIXES):
        return SkipReason.RAW_VALUES
    return SkipReason.ARCHIVE if kind == "dicom" and lower.endswith(_ARCHIVE_SUFFIXES) else None


def _not_opened(name: str, reason: SkipReason) -> SourceFile:
    return SourceFile(name, "dicom", 0, 0, reason)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
