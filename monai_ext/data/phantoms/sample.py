"""The embedded sample: phantom CT for a first run, written as real DICOM into the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from pathlib import Path

from monai_ext.errors import DatasetError
from monai_ext.locations import CACHE_VARIABLE, cache_folder

__all__ = ["embedded_sample"]

logger = logging.getLogger(__name__)

SAMPLE_NAME = "ct_sample-v1"
"""Name of the sample's folder; its version is raised whenever the same seeds give other pixels."""

_SERIES = (
    ("thorax", "LUNG", 16),
    ("thorax", "STANDARD", 16),
    ("thorax", "SOFT", 16),
    ("thorax", "LUNG", 16),
    ("abdomen", "SOFT", 14),
    ("abdomen", "STANDARD", 14),
    ("abdomen", "SOFT", 14),
    ("head", "SOFT", 14),
    ("head", "BONE", 14),
    ("head", "STANDARD", 14),
)
_SIZE = 256
_MANIFEST = "manifest.json"


def embedded_sample(cache: str | Path | None = None) -> Path:
    """Return the folder of the sample's DICOM files; make it when it is not there or not intact.

    Ten phantom patients (four chests, three abdomens, three heads), one series each, 148 slices of 256 x 256: made from
    fixed seeds in a few seconds, checked by content at every use. It is written beside its final place and renamed, so
    that neither an interruption nor a second process leaves half of it.

    Args:
        cache: where to keep it; :func:`~monai_ext.locations.cache_folder` when omitted.

    Raises:
        DatasetError: the cache folder cannot be written.
    """
    folder = Path(cache) if cache is not None else cache_folder()
    sample = folder / SAMPLE_NAME
    if not _is_intact(sample):
        logger.info("Making the embedded sample of phantom CT in %s: a few seconds, once.", sample)
        try:
            _make(sample)
        except OSError as error:
            raise DatasetError(
                f"The embedded sample cannot be written to {sample}: {error.strerror or error}. Set the environment"
                f" variable {CACHE_VARIABLE} to a folder that can be written, or give dataset_dir."
            ) from error
    return sample / "dicom"


def _make(sample: Path) -> None:
    from monai_ext.data.phantoms import phantom_series
    from monai_ext.data.phantoms.dicom import write_dicom_series

    sample.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{SAMPLE_NAME}-", dir=sample.parent))
    try:
        fresh = workplace / "fresh"
        for number, (region, kernel, slices) in enumerate(_SERIES, start=1):
            series = phantom_series(region, seed=number, slices=slices, size=_SIZE, kernel=kernel)
            write_dicom_series(series, fresh / "dicom" / f"patient_{number:02d}", number=number)
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
    return {file.relative_to(sample).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _is_intact(sample: Path) -> bool:
    try:
        return json.loads((sample / _MANIFEST).read_text()) == _hashes(sample)
    except (OSError, ValueError):
        return False
