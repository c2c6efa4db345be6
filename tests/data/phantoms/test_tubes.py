"""Vessels and other tubes of the phantoms."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ext.data.phantoms.shapes import Plane
from monai_ext.data.phantoms.tubes import Tubes


def _plane() -> Plane:
    return Plane(0.0, size=128, pixel_mm=0.5)


def _area_mm2(plane: Plane) -> float:
    """Area of what was painted with 0 HU on air."""
    return float((plane.hu / 1000 + 1).sum()) * plane.pixel_mm**2


def test_a_tube_crossing_the_slice_is_a_disc_and_one_within_it_a_capsule() -> None:
    across, along = _plane(), _plane()
    Tubes.along([(0, 0, -50), (0, 0, 50)], 6).paint(across, 0)
    assert _area_mm2(across) == pytest.approx(np.pi * 36, rel=0.02)
    Tubes.along([(-10, 0, 0), (10, 0, 0)], 6).paint(along, 0)
    assert _area_mm2(along) == pytest.approx(np.pi * 36 + 20 * 12, rel=0.02)


def test_a_tube_elsewhere_leaves_the_slice_alone() -> None:
    plane = _plane()
    Tubes.along([(0, 0, 20), (0, 0, 50)], 6).paint(plane, 0)
    assert (plane.hu == -1000).all()


def test_pieces_are_painted_one_after_the_other_as_far_as_they_are_in_the_picture() -> None:
    points = [(-90, 5, -3), (-20, 0, 2), (10, 9, -1), (12, -30, 1), (500, -30, 1), (500, 0, 0)]
    tubes = Tubes.along(points, [3, 4, 2, 5, 6, 4])
    at_once, by_patch = _plane(), _plane()
    limit = at_once.y + 12
    tubes.paint(at_once, 150, grow=0.5, within=limit)
    for patch in tubes.patches(by_patch, grow=0.5):
        by_patch.paint(patch, 150, within=limit)
    assert _area_mm2(at_once) > 200
    np.testing.assert_array_equal(at_once.hu, by_patch.hu)
