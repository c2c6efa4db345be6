"""The corrected t-test against hand-made values and the test that it corrects."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from monai_ext.study.statistics import (
    corrected_resampled_test,
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
