"""The corrected t-test, Holm, false claims and critical differences against hand-made values or known truth."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from monai_ext.study.statistics import (
    corrected_resampled_test,
    critical_difference,
    false_claim_probability,
    holm,
    paired_outcomes,
)


def test_without_a_correction_the_test_is_the_one_sample_t_test():
    differences = [0.02, 0.05, -0.01, 0.03, 0.04]
    result = corrected_resampled_test(differences, n_test=1e-12, n_train=1)
    assert result.p_value == pytest.approx(ttest_1samp(differences, 0).pvalue)


def test_the_variance_grows_with_the_explicit_ratio():
    differences = [0.02, 0.05, -0.01, 0.03, 0.04]
    full = corrected_resampled_test(differences, n_test=20, n_train=80)
    tenth = corrected_resampled_test(differences, n_test=20, n_train=8)
    widths = [result.high - result.low for result in (full, tenth)]
    assert widths[1] / widths[0] == pytest.approx(np.sqrt((0.2 + 2.5) / (0.2 + 0.25)))
    assert tenth.p_value > full.p_value


def test_equal_results_are_no_difference():
    assert corrected_resampled_test([0.0, 0.0, 0.0], n_test=1, n_train=4).p_value == 1.0


@pytest.mark.parametrize(("differences", "n_train"), [([0.1], 1), ([0.1, np.nan], 1), ([0.1, 0.2], 0)])
def test_a_test_that_cannot_be_made_is_refused(differences, n_train):
    with pytest.raises(ValueError, match=r"folds|positive"):
        corrected_resampled_test(differences, n_test=1, n_train=n_train)


def test_holm_holds_the_familywise_error_under_the_null():
    generator = np.random.default_rng(0)
    rejected = [min(holm(generator.uniform(size=8))) < 0.05 for _ in range(4000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.012)


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        holm([0.1, 1.2])


def test_a_false_claim_is_as_probable_as_sampling_the_dirichlet_says():
    generator = np.random.default_rng(1)
    both, first, second, none = 30, 9, 4, 7
    drawn = generator.dirichlet([both + 1, first + 1, second + 1, none + 1], size=200_000)
    sampled = (drawn[:, 1] <= drawn[:, 2]).mean()
    assert false_claim_probability(first, second) == pytest.approx(sampled, abs=0.005)


def test_a_patient_with_many_images_counts_once():
    first, second = np.array([1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 1])
    assert paired_outcomes(first, second, np.array([0, 0, 0, 0, 1])) == (1.0, 1.0, 2.0)


def test_methods_within_the_critical_difference_are_one_group():
    generator = np.random.default_rng(2)
    noise = generator.normal(size=(12, 4))
    alike = critical_difference(noise, list("abcd"))
    apart = critical_difference(noise + np.array([0, 5, 10, 15]), list("abcd"))
    assert alike.groups == ((0, 3),)
    assert apart.methods == ("d", "c", "b", "a")
    assert apart.mean_ranks == (1.0, 2.0, 3.0, 4.0)
    assert apart.p_value < 1e-6


def test_nemenyis_difference_is_that_of_the_published_table():
    # Demšar 2006, table 5: q = 2.569 for 4 methods; 10 settings.
    scores = np.random.default_rng(3).normal(size=(10, 4))
    assert critical_difference(scores, list("abcd")).difference == pytest.approx(2.569 * np.sqrt(4 * 5 / 60), abs=0.002)


def test_ranks_of_too_little_are_refused():
    with pytest.raises(ValueError, match="2 settings and 3 methods"):
        critical_difference(np.zeros((1, 3)), list("abc"))
