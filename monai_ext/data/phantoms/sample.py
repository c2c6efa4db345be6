"""The embedded sample: phantom CT for a first run, written as real DICOM into the user's cache folder."""

from __future__ import annotations

from pathlib import Path

from monai_ext.data.phantoms.kept import kept_sample

__all__ = ["embedded_sample"]

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


def _write(folder: Path) -> None:
    from monai_ext.data.phantoms.dicom import write_dicom_series
    from monai_ext.data.phantoms.series import phantom_series

    for number, (region, kernel, slices) in enumerate(_SERIES, start=1):
        series = phantom_series(region, seed=number, slices=slices, size=_SIZE, kernel=kernel)
        write_dicom_series(series, folder / "dicom" / f"patient_{number:02d}", number=number)
