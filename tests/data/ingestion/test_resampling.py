"""Resampling averages instead of picking: no false patterns, the mean stays, edges stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.data.ingestion.resampling import in_plane_shape, resample_in_plane


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [((512, 512), 256, (256, 256)), ((512, 768), 256, (256, 384)), ((100, 80), 256, (100, 80)), ((9, 9), None, (9, 9))],
)
def test_the_shorter_side_gets_the_length_and_nothing_grows(
    shape: tuple[int, int], side: int | None, expected: tuple[int, int]
) -> None:
    assert in_plane_shape(*shape, shorter_side=side) == expected


@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 5))
def test_a_constant_stays_constant(rows: int, columns: int, seed: int) -> None:
    image = np.full((rows + seed, columns + seed), -731.0, np.float32)
    np.testing.assert_allclose(resample_in_plane(image, shape=(rows, columns)), -731.0, rtol=1e-5)


def test_it_is_bilinear_with_antialiasing_as_in_torch() -> None:
    image = np.random.default_rng(0).normal(size=(37, 52)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], (16, 23), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(resample_in_plane(image, shape=(16, 23)), expected[0, 0].numpy(), atol=1e-5)


def test_the_finest_stripes_become_their_mean() -> None:
    stripes = np.tile(np.array([0.0, 1000.0], np.float32), (64, 32))
    assert abs(resample_in_plane(stripes, shape=(32, 32))[:, 2:-2] - 500).max() < 1


def test_without_a_change_the_values_stay() -> None:
    image = np.array([[1, -5], [3, 4]], np.int16)
    np.testing.assert_array_equal(resample_in_plane(image, shape=(2, 2)), image)
