import numpy as np
import pytest

from monai_ext.study.statistics import (
    critical_difference,
)


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
