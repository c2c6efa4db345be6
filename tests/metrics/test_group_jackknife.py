"""Leaving patients out: the error of a mean is known, blocks keep patients whole, and intervals hold what they say."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ext.metrics.group_jackknife import JackknifeEstimate, group_blocks


def of_mean(values: np.ndarray, blocks: np.ndarray) -> JackknifeEstimate:
    without = np.array([values[blocks != block].mean() for block in range(blocks.max() + 1)])
    return JackknifeEstimate(float(values.mean()), without)


def test_of_images_without_company_the_error_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=30)
    estimate = of_mean(values, group_blocks(range(30), most=30))
    assert estimate.error == pytest.approx(values.std(ddof=1) / 30**0.5)
    assert estimate.estimate.low == pytest.approx(values.mean() - 2.04523 * estimate.error, abs=1e-4)


def test_intervals_over_patients_hold_the_truth_as_often_as_they_say() -> None:
    """Ten images of a patient resemble each other; intervals that took them for ten patients would hold it in half."""
    generator = np.random.default_rng(1)
    patients = np.repeat(np.arange(60), 10)
    held = 0
    for seed in range(300):
        values = generator.normal(size=60)[patients] + 0.3 * generator.normal(size=600)
        estimate = of_mean(values, group_blocks(patients.tolist(), seed=seed)).estimate
        held += estimate.low <= 0 <= estimate.high
    assert 0.91 < held / 300 < 0.985


def test_a_difference_is_paired() -> None:
    values = np.random.default_rng(2).normal(size=40)
    blocks = group_blocks(range(40))
    difference = of_mean(values + 0.1, blocks) - of_mean(values, blocks)
    assert difference.value == pytest.approx(0.1)
    assert difference.error < 1e-9
    assert difference.p_value < 1e-9


def test_nothing_has_no_difference_from_itself() -> None:
    estimate = JackknifeEstimate(0.3, np.array([0.2, 0.4, 0.3]))
    assert (estimate - estimate).p_value == 1.0


def test_blocks_keep_patients_whole_and_are_of_similar_size() -> None:
    groups = [f"p{number % 53}" for number in range(400)]
    blocks = group_blocks(groups)
    assert all(
        len({block for block, group in zip(blocks, groups, strict=True) if group == name}) == 1 for name in groups
    )
    assert np.ptp(np.bincount(blocks)) <= 8
    assert np.array_equal(blocks, group_blocks(groups))
    assert not np.array_equal(blocks, group_blocks(groups, seed=1))


def test_images_of_one_patient_have_no_interval() -> None:
    with pytest.raises(ValueError, match="all 3 images are of one"):
        group_blocks(["a"] * 3)
