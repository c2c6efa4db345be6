"""Phantom series of all regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monai_ext.data.phantoms import REGIONS, phantom_series

EVERY_REGION = pytest.mark.parametrize("region", REGIONS)


@EVERY_REGION
def test_the_same_seed_gives_the_same_series_and_another_one_another_patient(region: str) -> None:
    first = phantom_series(region, seed=3, slices=2, size=32)
    assert np.array_equal(phantom_series(region, seed=3, slices=2, size=32).hounsfield, first.hounsfield)
    assert not np.array_equal(phantom_series(region, seed=4, slices=2, size=32).hounsfield, first.hounsfield)


@EVERY_REGION
def test_a_series_holds_air_soft_tissue_and_bone(region: str) -> None:
    series = phantom_series(region, seed=2, slices=6, size=96, kernel="SOFT")
    values = series.hounsfield
    assert (values.dtype, values.shape) == (np.int16, (6, 96, 96))
    assert values.min() >= -1024
    assert values.max() <= 3071
    assert np.median(values[:, :6]) == pytest.approx(-1000, abs=12)
    body = values[(values > -20) & (values < 120)]
    assert 20 < np.median(body) < 80
    assert body.size > 0.1 * values.size
    assert 0.003 < (values > 300).mean() < 0.3


def test_a_chest_has_lungs_and_fat() -> None:
    values = phantom_series("thorax", seed=2, slices=5, size=96, kernel="SOFT").hounsfield
    assert ((values > -930) & (values < -700)).mean() > 0.05
    assert ((values > -130) & (values < -70)).mean() > 0.03


@EVERY_REGION
def test_neighbouring_slices_resemble_each_other_more_than_distant_ones(region: str) -> None:
    volume = phantom_series(region, seed=5, slices=9, size=64, kernel="SOFT").hounsfield.astype(float)

    def distance(step: int) -> float:
        return float(np.mean([np.abs(volume[i] - volume[i + step]).mean() for i in range(9 - step)]))

    assert distance(1) < distance(3) < distance(7)


@EVERY_REGION
def test_positions_are_evenly_spaced_in_ascending_order(region: str) -> None:
    series = phantom_series(region, seed=1, slices=3, size=16)
    np.testing.assert_allclose(np.diff(series.slice_positions_mm), series.slice_spacing_mm)
    assert series.slice_spacing_mm > 0


def test_more_slices_than_the_usual_distance_allows_lie_closer() -> None:
    series = phantom_series("head", seed=1, slices=40, size=16)
    assert series.slice_spacing_mm == pytest.approx(112 / 40)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"region": "leg"}, "'leg'; the regions are thorax, abdomen, head"),
        ({"region": "head", "kernel": "B30f"}, "'B30f'; the kernels are SOFT"),
        ({"region": "head", "slices": 0}, "at least 1 slice"),
        ({"region": "head", "size": 8}, "16 x 16"),
    ],
)
def test_what_cannot_be_made_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        phantom_series(options.pop("region"), seed=0, **options)
