"""Lesions of the labelled phantoms: what tells the classes apart, and what does not."""

import numpy as np
import pytest

from monai_ext.data.phantoms.findings import HeadWithFindings, ThoraxWithFindings
from monai_ext.data.phantoms.shapes import Plane


@pytest.mark.parametrize("has_bleed", [False, True])
def test_heads_with_and_without_a_bleed_have_brain_as_bright_as_blood(has_bleed):
    shares = [_share_between(HeadWithFindings(_rng(seed), has_bleed=has_bleed), 60, 75) for seed in range(8)]
    assert np.mean(shares) > 0.003


def test_ground_glass_fills_more_of_a_lung_that_is_ill_of_it():
    much, little = (
        np.mean([_share_changed(ThoraxWithFindings(_rng(seed), has_ground_glass=ill)) for seed in range(8)])
        for ill in (True, False)
    )
    assert much > 4 * little > 0


def _rng(seed):
    return np.random.default_rng([seed, 5])


def _drawn(patient):
    plane = Plane(patient.seen_mm, size=64, pixel_mm=patient.field_of_view_mm / 64)
    patient.draw(plane)
    return plane.hu


def _share_between(patient, low, high):
    hu = _drawn(patient)
    return np.mean((hu > low) & (hu < high))


def _share_changed(patient):
    ill = _drawn(patient)
    with patient.lesions_shown(False):
        return np.mean(np.abs(_drawn(patient) - ill) >= 40)
