import numpy as np
import pytest

from monai_ext.study.statistics import (
    holm,
)


def test_holm_holds_the_familywise_error_under_the_null():
    generator = np.random.default_rng(0)
    rejected = [min(holm(generator.uniform(size=8))) < 0.05 for _ in range(4000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.012)


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        holm([0.1, 1.2])
