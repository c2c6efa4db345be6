"""Samples that are made once, kept in the user's cache folder, and checked by content at every use."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from monai_ext.errors import DatasetError
from monai_ext.files import file_sha256
from monai_ext.locations import CACHE_VARIABLE, cache_folder

__all__ = ["kept_sample"]

logger = logging.getLogger(__name__)

_MANIFEST = "manifest.json"


def kept_sample(
    name: str, write: Callable[[Path], object], *, description: str, cache: str | Path | None = None
) -> Path:
    """The folder of a sample; it is made when it is not there or not intact.

    It is written beside its final place and renamed, so that neither an interruption nor a second process leaves half
    of it.

    Args:
        name: of the sample's folder; its version is raised whenever the same seeds give other content.
        write: writes the sample into an empty folder.
        description: what it is, for people.
        cache: where to keep it; :func:`~monai_ext.locations.cache_folder` when omitted.

    Raises:
        DatasetError: the cache folder cannot be written.
    """
    sample = (Path(cache) if cache is not None else cache_folder()) / name
    if not _is_intact(sample):
        logger.info("Making %s in %s: a few seconds, once.", description, sample)
        try:
            _make(sample, write)
        except OSError as error:
            raise DatasetError(
                f"The embedded sample cannot be written to {sample}: {error.strerror or error}. Set the environment"
                f" variable {CACHE_VARIABLE} to a folder that can be written, or give dataset_dir."
            ) from error
    return sample


def _make(sample: Path, write: Callable[[Path], object]) -> None:
    sample.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{sample.name}-", dir=sample.parent))
    try:
        fresh = workplace / "fresh"
        fresh.mkdir()
        write(fresh)
        (fresh / _MANIFEST).write_text(json.dumps(_hashes(fresh), indent=1))
        if sample.exists() and not _is_intact(sample):
            sample.rename(workplace / "damaged")
        if not sample.exists():
            _put_in_place(fresh, sample)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _put_in_place(fresh: Path, sample: Path) -> None:
    """Rename; when another process was faster, its sample is as good."""
    try:
        fresh.rename(sample)
    except OSError:
        if not _is_intact(sample):
            raise


def _hashes(sample: Path) -> dict[str, str]:
    """SHA-256 of every file of the sample by its relative name, the manifest excepted."""
    files = sorted(file for file in sample.rglob("*") if file.is_file() and file.name != _MANIFEST)
    return {file.relative_to(sample).as_posix(): file_sha256(file) for file in files}


def _is_intact(sample: Path) -> bool:
    try:
        return bool(json.loads((sample / _MANIFEST).read_text()) == _hashes(sample))
    except (OSError, ValueError):
        return False
