"""Intervals of classification metrics: resamples of patients, equal to scikit-learn's weighted values."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from helpers.made_up_predictions import checked, made_up
from monai_ext.metrics import evaluate_classification
from monai_ext.metrics.classification_scores import resampled_scores, scores
from monai_ext.metrics.group_bootstrap import resample_groups


@pytest.mark.parametrize("classes", [2, 4])
def test_values_of_resamples_are_those_of_scikit_learn_with_weights(classes: int) -> None:
    predictions = checked(**made_up(classes, 60, groups=25))
    weights = resample_groups(predictions, count=4, seed=1).weights
    together, per_class = resampled_scores(predictions, weights)
    for number, weight in enumerate(weights):
        expected, expected_per_class = scores(predictions, weight.astype(float))
        assert {name: values[number] for name, values in together.items()} == pytest.approx(expected, abs=1e-12)
        for name, values in per_class.items():
            np.testing.assert_allclose(values[number], expected_per_class[name], atol=1e-12)


def test_images_of_a_group_come_and_go_together() -> None:
    predictions = checked(**made_up(2, 40, groups=10))
    weights = resample_groups(predictions, count=50, seed=0).weights
    for group in range(10):
        members = weights[:, predictions.groups == group]
        assert (members == members[:, :1]).all()
    drawn = np.stack([weights[:, predictions.groups == group][:, 0] for group in range(10)], axis=1)
    assert (drawn.sum(axis=1) == 10).all()


def test_resamples_follow_the_seed() -> None:
    predictions = checked(**made_up(2, 40))
    first, same, other = (resample_groups(predictions, count=300, seed=seed).weights for seed in (3, 3, 4))
    assert (first == same).all()
    assert (first != other).any()


def test_intervals_hold_the_value_and_are_those_of_the_normal_approximation() -> None:
    evaluation = evaluate_classification(**made_up(2, 400), n_bootstrap=1000)
    accuracy = evaluation.metrics["accuracy"]
    half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 400)
    assert accuracy.low == pytest.approx(accuracy.value - half, abs=0.01)
    assert accuracy.high == pytest.approx(accuracy.value + half, abs=0.01)
    assert evaluation.resamples == 1000


def test_more_images_of_the_same_patients_do_not_make_intervals_narrower() -> None:
    single = made_up(2, 100)
    repeated = single | {name: np.repeat(single[name], 5, axis=0) for name in ("probabilities", "labels")}
    by_patient = evaluate_classification(**(repeated | {"groups": np.repeat(np.arange(100), 5).tolist()})).metrics[
        "auc"
    ]
    by_image = evaluate_classification(**repeated).metrics["auc"]
    expected = evaluate_classification(**single).metrics["auc"]
    assert by_patient.high - by_patient.low == pytest.approx(expected.high - expected.low, abs=1e-9)
    assert by_image.high - by_image.low < 0.6 * (by_patient.high - by_patient.low)


def test_resamples_without_some_class_are_drawn_again_and_counted() -> None:
    options = made_up(2, 6) | {"groups": list("ababab")}  # each class is one patient: half of the draws lack one
    evaluation = evaluate_classification(**options, n_bootstrap=400)
    assert evaluation.resamples == 400
    assert 300 < evaluation.redrawn < 500
    auc = evaluation.metrics["auc"]
    assert auc.low == auc.high == auc.value  # both patients are in every resample that is left


def test_too_few_patients_for_intervals_give_values_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        evaluation = evaluate_classification(**made_up(8, 8), n_bootstrap=50)
    assert "of 8 groups (patients), nearly every resample lacks one of the classes" in caplog.text
    assert evaluation.resamples == 0
    assert evaluation.to_json()["metrics"]["auc"]["low"] is None
