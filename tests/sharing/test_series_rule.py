"""From slices to series: the rule, its interval, and the threshold that validation patients give."""

import numpy as np
import pytest

from monai_ext.sharing.series_rule import choose_series_threshold, highest_tenth, resampled_interval


def _patients(scores: list[float], *, slices: int = 20) -> tuple[list[float], list[str]]:
    """Slices of 0.1, and two of each patient with its score, which are the highest tenth."""
    probabilities = [p for score in scores for p in [0.1] * (slices - 2) + [score] * 2]
    return probabilities, [f"p{number}" for number in range(len(scores)) for _ in range(slices)]


def test_the_threshold_lies_between_the_series_and_not_between_the_slices() -> None:
    scores = [0.2, 0.25, 0.3, 0.35, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9]
    probabilities, groups = _patients(scores)
    positive = [p >= 0.6 for p in probabilities]
    rule = choose_series_threshold(probabilities, positive, groups)
    assert rule is not None
    assert rule["threshold"] == pytest.approx(0.5)  # midway between 0.4 and 0.6
    assert (rule["patients"], rule["positive_patients"]) == (10, 5)
    assert rule["auc"]["value"] == 1.0
    assert rule["sensitivity"]["value"] == rule["specificity"]["value"] == 1.0
    assert rule["sensitivity"]["low"] == pytest.approx(0.5655, abs=1e-3)  # Wilson's interval of 5 of 5


def test_a_patient_is_called_at_the_threshold_of_the_others() -> None:
    scores = [0.2, 0.25, 0.3, 0.35, 0.4, 0.41, 0.7, 0.8, 0.85, 0.9]  # that of 0.41 alone would be called wrongly
    probabilities, groups = _patients(scores)
    positive = [p >= 0.41 for p in probabilities]
    rule = choose_series_threshold(probabilities, positive, groups)
    assert rule is not None
    assert 0.4 < rule["threshold"] < 0.41
    assert rule["sensitivity"]["value"] == pytest.approx(4 / 5)


def test_too_few_patients_of_a_class_give_no_threshold() -> None:
    probabilities, groups = _patients([0.2, 0.25, 0.3, 0.35, 0.9, 0.8])
    assert choose_series_threshold(probabilities, [p >= 0.8 for p in probabilities], groups) is None


def test_the_interval_follows_the_rule() -> None:
    values = [0.1, 0.2, 0.9, 0.4]
    low, high = resampled_interval(values)
    assert (low, high) == resampled_interval(values)
    assert low <= highest_tenth(np.array(values)) <= high
    low, high = resampled_interval(values, lambda drawn: float(drawn.mean()))
    assert low < 0.4 < high < 0.8
