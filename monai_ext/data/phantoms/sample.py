"""The embedded sample: phantom CT for a first run, written as real DICOM into the user's cache folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_ext.data.phantoms.kept import kept_sample

__all__ = ["embedded_sample", "embedded_volumes"]

SAMPLE_NAME, VOLUMES_NAME = "ct_sample-v1", "ct_volumes-v1"
"""Names of the samples' folders; a version is raised whenever the same seeds give other pixels."""

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
_VOLUMES = (
    ("thorax", "LUNG"),
    ("thorax", "SOFT"),
    ("thorax", "STANDARD"),
    ("abdomen", "SOFT"),
    ("abdomen", "STANDARD"),
)
_VOLUME_SLICES, _VOLUME_SIZE = 60, 128


def embedded_sample(cache: str | Path | None = None) -> Path:
    """Return the folder of the sample's DICOM files; make it when it is not there or not intact.

    Ten phantom patients (four chests, three abdomens, three heads), one series each, 148 slices of 256 x 256, made from
    fixed seeds.

    Args:
        cache: where to keep it, see :func:`~monai_ext.data.phantoms.kept.kept_sample`.

    Raises:
        DatasetError: the cache folder cannot be written.
    """
    return kept_sample(SAMPLE_NAME, _write, description="the embedded sample of phantom CT", cache=cache) / "dicom"


def embedded_volumes(cache: str | Path | None = None) -> Path:
    """Return the folder of the sample for networks in three dimensions; make it when it is not there or not intact.

    Five phantom patients (three chests, two abdomens), one series each, whose 60 slices of 128 x 128 cover the region
    without gaps, 157 to 210 mm.

    Args:
        cache: where to keep it, see :func:`~monai_ext.data.phantoms.kept.kept_sample`.

    Raises:
        DatasetError: the cache folder cannot be written.
    """
    return kept_sample(VOLUMES_NAME, _write_volumes, description="the embedded sample of phantom volumes", cache=cache)


def _write(folder: Path) -> None:
    for number, (region, kernel, slices) in enumerate(_SERIES, start=1):
        _write_patient(folder / "dicom", number, region, slices=slices, size=_SIZE, kernel=kernel)


def _write_volumes(folder: Path) -> None:
    for number, (region, kernel) in enumerate(_VOLUMES, start=1):
        _write_patient(folder, number, region, slices=_VOLUME_SLICES, size=_VOLUME_SIZE, kernel=kernel)


def _write_patient(folder: Path, number: int, region: str, **acquisition: Any) -> None:
    from monai_ext.data.phantoms.dicom import write_dicom_series
    from monai_ext.data.phantoms.series import phantom_series

    series = phantom_series(region, seed=number, **acquisition)
    write_dicom_series(series, folder / f"patient_{number:02d}", number=number)
