"""Arms are compared on the same patients, and only what may be claimed is claimed."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.study_arms import arm
from monai_ext.study.statistics import Arm, compare, correct_comparisons
from monai_ext.study.statistics.comparison import resample_folds


def test_an_arm_is_the_mean_of_its_folds_with_repeats_inside():
    repeated = arm([1.0, 2.0], repeats=3)
    by_hand = [np.mean([cell.values["auc"] for cell in repeated.cells if cell.fold == fold]) for fold in (0, 1)]
    assert repeated.estimate("auc").value == pytest.approx(np.mean(by_hand))
    assert repeated.estimate("auc").low < repeated.estimate("auc").value < repeated.estimate("auc").high
    assert repeated.patients == 120


def test_repeats_do_not_narrow_the_interval_over_patients():
    single = arm([1.0])
    many = Arm(tuple(replace(single.cells[0], repeat=(subset, 0)) for subset in range(6)))
    assert many.estimate("auc").low == pytest.approx(single.estimate("auc").low)
    assert many.estimate("auc").high == pytest.approx(single.estimate("auc").high)


def test_a_method_does_not_differ_from_itself():
    same = arm([1.0, 1.5, 1.2])
    result = compare(same, same)
    assert result.difference.value == 0.0
    assert (result.difference.low, result.difference.high) == (0.0, 0.0)
    assert result.p_value == 1.0
    assert not result.may_be_claimed


def test_a_large_difference_may_be_claimed():
    result = compare(arm([3.0] * 5), arm([0.3] * 5, seed=7))
    assert result.difference.low > 0
    assert result.may_be_claimed
    assert result.false_claim < 0.01


def test_few_labels_make_the_same_difference_less_sure():
    strong, weak = arm([2.0] * 5, n_train=400), arm([1.2] * 5, seed=7, n_train=400)
    few = compare(arm([2.0] * 5, n_train=20), arm([1.2] * 5, seed=7, n_train=20))
    assert few.p_value > compare(strong, weak).p_value


def test_folds_that_disagree_make_the_resampled_p_larger():
    agreeing = compare(arm([2.0] * 5), arm([1.4] * 5, seed=7))
    disagreeing = compare(arm([0.5, 3.5, 0.6, 3.4, 2.0]), arm([1.4] * 5, seed=7))
    assert agreeing.p_resampled < 0.05 < disagreeing.p_resampled
    assert resample_folds(np.ones((5, 7))).tolist() == [1.0] * 7


def test_holm_can_withdraw_a_claim():
    result = compare(arm([2.0] * 5), arm([1.0] * 5, seed=7))
    corrected = correct_comparisons([result] * 50)
    assert corrected[0].p_holm == pytest.approx(min(1.0, 50 * result.p_value))


def test_with_one_fold_the_resamples_of_patients_decide():
    result = compare(arm([2.5], same_test=True), arm([0.2], seed=7, same_test=True))
    assert result.test is None
    assert result.p_value < 0.05


def test_different_test_images_are_not_compared():
    with pytest.raises(ValueError, match="different test images"):
        compare(arm([1.0, 1.0]), arm([1.0, 1.0], same_test=True))


def test_claims_under_the_null_are_rare():
    few = {"patients": 40, "resamples": 60}
    pairs = [(arm([1.0] * 4, seed=s, **few), arm([1.0] * 4, seed=s + 5_000_000, **few)) for s in range(40)]
    assert np.mean([compare(*pair).may_be_claimed for pair in pairs]) <= 0.1


def test_a_clear_difference_from_one_fold_outlasts_many_comparisons():
    clear = compare(arm([3.0]), arm([0.3], seed=7))
    many = [clear, *[compare(arm([1.0]), arm([1.0], seed=seed)) for seed in range(8, 12)] * 50]
    assert correct_comparisons(many)[0].may_be_claimed
