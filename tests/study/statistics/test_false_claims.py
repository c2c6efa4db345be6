import numpy as np
import pytest

from monai_ext.study.statistics import (
    false_claim_probability,
    paired_outcomes,
)


def test_a_false_claim_is_as_probable_as_sampling_the_dirichlet_says():
    generator = np.random.default_rng(1)
    both, first, second, none = 30, 9, 4, 7
    drawn = generator.dirichlet([both + 1, first + 1, second + 1, none + 1], size=200_000)
    sampled = (drawn[:, 1] <= drawn[:, 2]).mean()
    assert false_claim_probability(first, second) == pytest.approx(sampled, abs=0.005)


def test_a_patient_with_many_images_counts_once():
    first, second = np.array([1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 1])
    assert paired_outcomes(first, second, np.array([0, 0, 0, 0, 1])) == (1.0, 1.0, 2.0)
