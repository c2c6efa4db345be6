"""Irregular spacing is found, and told apart: duplicates, gaps, variation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.data.dicom.geometry import (
    find_irregularities,
    is_orientation,
    normal_of,
    same_orientation,
    shear_degrees,
)


def kinds(positions_mm: list[float]) -> list[str]:
    return [finding.kind for finding in find_irregularities(positions_mm)]


@given(st.floats(0.3, 10), st.integers(1, 40), st.floats(-500, 500))
def test_regular_spacing_has_no_finding(spacing: float, count: int, start: float) -> None:
    assert kinds([start + spacing * number for number in range(count)]) == []


@given(st.floats(0.5, 10), st.integers(6, 20), st.integers(1, 4))
def test_a_hole_of_whole_slices_is_a_gap(spacing: float, count: int, missing: int) -> None:
    positions = [spacing * number for number in range(count) if not 2 <= number < 2 + missing]
    if len(positions) > 2 * missing:
        assert kinds(positions) == ["gap"]


def test_rounded_table_positions_are_regular() -> None:
    assert kinds([0, 0.62, 1.25, 1.88, 2.5]) == []


def test_alternating_distances_are_no_gaps() -> None:
    assert kinds([0, 1, 3, 4, 6, 7, 9]) == ["variable_spacing"]
    assert kinds([0, 1, 2.5, 3.5, 5]) == ["variable_spacing"]


def test_duplicates_do_not_hide_a_gap() -> None:
    assert kinds([0, 0, 1, 2, 3, 5, 6]) == ["duplicate_positions", "gap"]


def test_the_normal_is_a_unit_vector_even_for_rounded_cosines() -> None:
    assert normal_of([1, 0, 0, 0, 0.999, 0]).tolist() == [0, 0, 1]


@pytest.mark.parametrize("cosines", [[0, 0, 0, 0, 1, 0], [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0]])
def test_vectors_that_span_no_plane_are_no_orientation(cosines: list[float]) -> None:
    assert not is_orientation(cosines)


def test_orientations_agree_within_a_thousandth() -> None:
    upright = [1, 0, 0, 0, 1, 0]
    assert same_orientation(upright, [1, 0.0009, 0, 0, 1, 0])
    assert not same_orientation(upright, [1, 0.0011, 0, 0, 1, 0])


def test_the_shear_of_a_tilted_gantry_is_its_angle() -> None:
    sine, cosine = np.sin(np.deg2rad(20)), np.cos(np.deg2rad(20))
    origins = [[0, 0, 5.0 * number] for number in range(5)]
    assert shear_degrees([1, 0, 0, 0, cosine, sine], origins) == pytest.approx(20)
    assert shear_degrees([1, 0, 0, 0, cosine, sine], origins[:1]) == 0
