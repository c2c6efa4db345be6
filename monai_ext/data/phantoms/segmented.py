"""The embedded sample with masks: phantom chests with ground glass, as NIfTI volumes with label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_ext.data.phantoms.acquisition import KERNELS, acquire
from monai_ext.data.phantoms.findings import ThoraxWithFindings
from monai_ext.data.phantoms.kept import kept_sample
from monai_ext.data.phantoms.shapes import Plane

__all__ = ["embedded_segmented_sample"]

SAMPLE_NAME = "segmented_phantoms-v2"
"""Name of the sample's folder; its version is raised whenever the same seeds give other pixels."""

_PATIENTS, _SLICES, _SIZE, _STEP_MM = 30, 4, 128, 8.0
_VISIBLE_HU = 40.0


def embedded_segmented_sample(cache: str | Path | None = None) -> Path:
    """A folder with ``images`` and ``masks``; it is made when it is not there or not intact.

    Each volume is of one patient. Voxels are marked that ground glass changes by 40 HU or more, noise and blur left
    aside, and the gaps between them, as a person draws; slices beside the lesions are empty.

    Args:
        cache: where to keep it, see :func:`~monai_ext.data.phantoms.kept.kept_sample`.

    Raises:
        DatasetError: the cache folder cannot be written.
    """
    return kept_sample(SAMPLE_NAME, _write, description="the embedded sample with masks (phantom CT)", cache=cache)


def _write(folder: Path) -> None:
    import nibabel

    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(_PATIENTS):
        scan, mask, affine = _volume(np.random.default_rng([number, 74]))
        for name, voxels in (("images", scan), ("masks", mask)):
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / name / f"phantom_{number:02d}.nii.gz")


def _volume(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hounsfield units (int16), mask (uint8), both stored along left, posterior, superior, and the affine (RAS)."""
    from scipy.ndimage import binary_closing

    patient = ThoraxWithFindings(rng, has_ground_glass=True)
    pixel_mm = patient.field_of_view_mm / _SIZE
    low, high = patient.z_range_mm
    first = float(np.clip(patient.seen_mm - _STEP_MM, low, high - _SLICES * _STEP_MM))
    kernel, dose = KERNELS[str(rng.choice(["SOFT", "STANDARD", "LUNG"]))], float(rng.uniform(0.8, 2.5))
    scans, masks = [], []
    for number in range(_SLICES):
        ill, healthy = (
            _plane(patient, first + number * _STEP_MM, pixel_mm, with_lesions=flag) for flag in (True, False)
        )
        scans.append(np.rint(acquire(ill, kernel, rng, dose=dose)).astype(np.int16))
        masks.append(binary_closing(np.abs(ill - healthy) >= _VISIBLE_HU, iterations=2).astype(np.uint8))
    corner = pixel_mm * (_SIZE - 1) / 2
    affine = np.diag([-pixel_mm, -pixel_mm, _STEP_MM, 1.0])
    affine[:3, 3] = corner, corner, first
    return _stored(scans), _stored(masks), affine


def _plane(patient: ThoraxWithFindings, z_mm: float, pixel_mm: float, *, with_lesions: bool) -> np.ndarray:
    plane = Plane(z_mm, size=_SIZE, pixel_mm=pixel_mm)
    with patient.lesions_shown(with_lesions):
        patient.draw(plane)
    return plane.hu


def _stored(slices: list[np.ndarray]) -> np.ndarray:
    """(columns, rows, slices) of slices (rows, columns), anterior at the top and the patient's right on the left."""
    return np.stack(slices).transpose(2, 1, 0)
