"""Labels that a method needs are read from its measured curve and never beyond it."""

import math

import numpy as np
import pytest

from monai_ext.study.statistics import labels_to_target


def test_a_target_between_two_sizes_is_interpolated_on_a_logarithmic_axis():
    assert labels_to_target([10, 40], [0.6, 0.8], target=0.7).value == pytest.approx(20.0)


def test_a_dip_by_chance_does_not_count():
    assert labels_to_target([10, 20, 40], [0.7, 0.6, 0.9], target=0.64).value == 10.0


def test_a_target_that_is_never_reached_is_infinite():
    assert math.isinf(labels_to_target([10, 40], [0.6, 0.8], target=0.81).value)


def test_the_interval_is_that_of_the_resamples():
    draws = np.array([[0.6, 0.7], [0.8, 0.9]]).repeat(50, axis=1)
    result = labels_to_target([10, 40], [0.65, 0.85], target=0.8, draws=draws)
    assert (result.low, result.high) == (20.0, 40.0)


def test_a_curve_needs_its_sizes():
    with pytest.raises(ValueError, match="every size above 0"):
        labels_to_target([0, 10], [0.5, 0.6], target=0.6)
