"""What the scanner adds to the phantoms' anatomy."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ext.data.phantoms import KERNELS, acquire


def _scan(kernel: str, *, dose: float = 1.0, hounsfield: float = 0.0) -> np.ndarray:
    anatomy = np.full((96, 96), hounsfield, dtype=np.float32)
    return acquire(anatomy, KERNELS[kernel], np.random.default_rng(0), dose=dose)


def _neighbours(noise: np.ndarray) -> float:
    """Correlation of neighbouring pixels: high for coarse grain."""
    return float(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])


def test_sharper_kernels_are_noisier_and_finer_grained() -> None:
    scans = [_scan(kernel).astype(float) for kernel in ("SOFT", "STANDARD", "LUNG", "BONE")]
    deviations, grains = [scan.std() for scan in scans], [_neighbours(scan) for scan in scans]
    assert deviations == sorted(deviations)
    assert grains == sorted(grains, reverse=True)


def test_noise_leaves_the_mean_alone() -> None:
    assert _scan("STANDARD", hounsfield=60).mean() == pytest.approx(60, abs=0.5)


def test_four_times_the_dose_halves_the_noise() -> None:
    assert _scan("LUNG").std() / _scan("LUNG", dose=4).std() == pytest.approx(2, rel=0.05)


def test_there_is_less_noise_in_air_than_in_tissue() -> None:
    assert _scan("SOFT", hounsfield=-995).std() < 0.5 * _scan("SOFT").std()


def test_values_stay_on_the_twelve_bit_scale() -> None:
    scan = _scan("BONE", hounsfield=3060)
    assert (scan.dtype, scan.max()) == (np.int16, 3071)
    assert _scan("BONE", hounsfield=-1024).min() == -1024


def test_a_bone_kernel_overshoots_at_edges_and_a_soft_one_does_not() -> None:
    anatomy = np.zeros((64, 64), dtype=np.float32)
    anatomy[:, 32:] = 1000
    edges = {name: acquire(anatomy, KERNELS[name], np.random.default_rng(0), dose=1e6) for name in ("SOFT", "BONE")}
    assert edges["BONE"].max() > 1050
    assert edges["SOFT"].max() < 1005
