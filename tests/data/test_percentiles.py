"""Percentiles of values that come slice by slice are those of all of them; scales say what they are."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ext.data.percentiles import FULL_SCALE, PercentileScale, RunningPercentiles


def test_percentiles_are_those_of_all_values_above_the_lowest() -> None:
    values = np.random.default_rng(0).integers(0, 50, (7, 30, 30)).astype(float)
    seen = RunningPercentiles()
    for plane in values:
        seen.add(plane)
    for percent in (0.5, 25, 50, 99.5, 100):
        assert seen.at(percent) == np.percentile(values[values > 0], percent, method="inverted_cdf")


def test_many_different_values_take_bounded_memory_and_lose_little() -> None:
    values = np.random.default_rng(1).gamma(3, 100, 50_000)
    seen = RunningPercentiles(most_values=10_000)
    for part in np.split(values, 10):
        seen.add(part)
    assert seen.different_values <= 10_000
    for percent in (1, 50, 99):
        assert seen.at(percent) == pytest.approx(np.percentile(values, percent), rel=0.005)


def test_a_scale_puts_its_ends_at_zero_and_full_scale_and_padding_at_zero() -> None:
    scaled = PercentileScale(-2.0, 6.0)(np.array([-2.0, 2.0, 6.0, 14.0, np.nan]))
    assert scaled.tolist() == [0, FULL_SCALE / 2, FULL_SCALE, 2 * FULL_SCALE, 0]
    assert scaled.dtype == np.float32


def test_a_scale_comes_back_from_what_was_noted_of_it() -> None:
    scale = PercentileScale(1.5, 900.0, "philips")
    assert PercentileScale.of_provenance(scale.provenance()) == scale
    assert PercentileScale.of_provenance({"format": "dicom"}) is None
    assert PercentileScale.of_provenance(scale.provenance() | {"full_scale": 255}) is None


@pytest.mark.parametrize("values", [[], [3.0, 3.0], [0.0, 0.0, 7.0, 7.0], [np.nan]])
def test_values_without_contrast_have_no_scale(values: list[float]) -> None:
    seen = RunningPercentiles()
    seen.add(np.array(values))
    assert seen.scale() is None
