"""Forecasts of known curves, their refusals, and the back-test."""

import numpy as np
import pytest

from monai_ext.errors import StudyError
from monai_ext.study.forecast import LearningCurve, back_test, forecast

SIZES = np.array([10.0, 20.0, 40.0, 80.0, 160.0])


def curve(function, *, noise=0.0, resamples=200, seed=0):
    scores = function(SIZES)
    drawn = scores[:, None] + noise * np.random.default_rng(seed).normal(size=(len(SIZES), resamples))
    return LearningCurve(SIZES, scores, drawn)


@pytest.mark.parametrize(
    "function",
    [lambda n: 0.92 - 0.6 * n**-0.5, lambda n: 0.5 + 0.06 * np.log(n), lambda n: 0.9 - 0.3 * np.exp(-n / 96)],
    ids=["power law", "logarithm", "exponential"],
)
def test_a_curve_of_each_family_is_continued(function):
    said = forecast(curve(function, noise=0.005), labels=300)
    assert said.value == pytest.approx(function(300.0), abs=0.03)
    assert said.low <= function(300.0) <= said.high


def test_the_interval_grows_with_the_noise():
    little, much = (forecast(curve(lambda n: 0.9 - 0.6 * n**-0.5, noise=noise), labels=320) for noise in (0.002, 0.03))
    assert much.high - much.low > 2 * (little.high - little.low)


def test_a_score_stays_within_0_and_1():
    assert forecast(curve(lambda n: 0.2 + 0.15 * np.log(n)), labels=320).value <= 1.0


def test_too_few_sizes_are_refused():
    short = LearningCurve(SIZES[:3], np.array([0.6, 0.7, 0.8]), np.zeros((3, 0)))
    with pytest.raises(StudyError, match="at least 4 sizes"):
        forecast(short, labels=50)
    assert back_test(short) is None


def test_a_far_forecast_is_refused():
    with pytest.raises(StudyError, match="at most to twice"):
        forecast(curve(np.sqrt), labels=321)


def test_the_back_test_hides_the_largest_size():
    tested = back_test(curve(lambda n: 0.92 - 0.6 * n**-0.5, noise=0.005))
    assert tested.labels == 160
    assert abs(tested.error) < 0.03
    surprised = curve(lambda n: 0.92 - 0.6 * n**-0.5)
    scores = surprised.scores.copy()
    scores[-1] = 0.5
    worse = back_test(LearningCurve(SIZES, scores, surprised.draws))
    assert worse.forecast.value == pytest.approx(tested.forecast.value, abs=0.02)
    assert worse.error > 0.3
