"""Deletes what a study can make again."""

from __future__ import annotations

import shutil
from pathlib import Path

from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.index import read_index
from monai_ext.study.records.record import record_path

__all__ = ["clean_study"]


def clean_study(folder: StudyFolder, *, records: bool = False) -> dict[str, int]:
    """Delete work of interrupted cells, features, logs and notes of failures; give the bytes freed by what was deleted.

    Records of the plan, encoders, splits and the report stay.

    Args:
        folder: of the study; the caller holds its lock.
        records: delete records, and encoders, that the plan does not use, too.

    Raises:
        StudyError: the folder holds no study.
    """
    planned = {cell.name for cell in read_index(folder)}
    freed = {}
    for part in (folder.work, folder.features, folder.path / "logs", folder.failures):
        size = _size(part)
        shutil.rmtree(part, ignore_errors=True)
        if size:
            freed[part.name] = size
    if records:
        strangers = [record_path(folder.records, name) for name in folder.names() - planned]
        kept = {f"{name}.pt" for name in planned}
        strangers += [path for path in folder.encoders.glob("*.pt") if len(path.stem) == 32 and path.name not in kept]
        size = sum(path.stat().st_size for path in strangers)
        for path in strangers:
            path.unlink()
        if strangers:
            freed[f"{len(strangers)} records and encoders of other plans or versions"] = size
    return freed


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
