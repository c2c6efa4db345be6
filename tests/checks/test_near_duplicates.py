"""Pictures that are nearly the same are found whatever was done to them, and different ones are told apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from helpers.picture_files import texture
from monai_ext.checks.near_duplicates import find_near_duplicates
from monai_ext.checks.phase_correlation import correlations, detail_spectrum, rescaled
from monai_ext.checks.picture_framing import framed


def sources(*pictures: np.ndarray) -> list[Callable[[], np.ndarray]]:
    return [partial(np.asarray, picture) for picture in pictures]


def others(count: int) -> list[np.ndarray]:
    return [texture(seed) for seed in range(100, 100 + count)]


@pytest.mark.parametrize(
    "changed",
    [
        lambda picture: picture,
        lambda picture: np.pad(picture, ((0, 40), (30, 0))),
        lambda picture: ndimage.zoom(picture, 2, order=1),
        lambda picture: np.roll(picture, (4, -6), axis=(0, 1)),
        lambda picture: picture**2,
        lambda picture: picture[6:-9, 4:-2],
        lambda picture: np.clip(picture + np.random.default_rng(0).normal(0, 0.1, picture.shape), 0, 1),
    ],
    ids=["copied", "padded", "twice as large", "shifted", "darker", "cropped", "noisy"],
)
def test_a_changed_copy_is_found_and_nothing_else(changed: Callable[[np.ndarray], np.ndarray]) -> None:
    first = texture(0)
    pairs = find_near_duplicates(sources(first, *others(6), changed(first)))
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 7)]


def test_a_negative_is_another_picture() -> None:
    assert find_near_duplicates(sources(texture(0), *others(3), 1 - texture(0))) == []


def test_the_same_picture_has_a_peak_and_a_similarity_of_one() -> None:
    (pair,) = find_near_duplicates(sources(texture(0), texture(0)))
    assert pair.phase_peak == pytest.approx(1, abs=1e-3)
    assert pair.similarity == pytest.approx(1, abs=1e-3)


def test_pictures_of_one_group_are_not_compared_when_groups_are_apart() -> None:
    pictures = sources(texture(0), texture(0), texture(0), texture(1))
    pairs = find_near_duplicates(pictures, apart=["a", "a", "b", "b"])
    assert {(pair.first, pair.second) for pair in pairs} == {(0, 2), (1, 2)}


def test_empty_pictures_and_single_ones_are_no_duplicates() -> None:
    assert find_near_duplicates(sources(np.zeros((50, 60)), np.zeros((50, 60)), np.ones((20, 20)))) == []
    assert find_near_duplicates(sources(texture(0))) == []


def test_progress_counts_every_picture_three_times() -> None:
    counts: list[int] = []
    find_near_duplicates(sources(*others(3)), progress=counts.append)
    assert sum(counts) == 9


@pytest.mark.parametrize("options", [{"least_peak": 0}, {"least_similarity": 1}, {"apart": ["a"]}])
def test_limits_and_groups_that_do_not_fit_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match="limits between 0 and 1, and one group a picture"):
        find_near_duplicates(sources(*others(2)), **options)


def test_the_correlation_of_a_shifted_picture_peaks_at_the_shift() -> None:
    picture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(32, 32)), 1, mode="wrap")
    shifted = np.roll(picture, (3, 5), axis=(0, 1))
    for whiten in (False, True):
        moved, still = (detail_spectrum(x, coarse=3.0, whiten=whiten) for x in (shifted, picture))
        surface = correlations(moved, still)
        assert np.unravel_index(surface.argmax(), surface.shape) == (3, 5)
        assert correlations(moved, moved).max() == pytest.approx(1, abs=1e-5)


def test_enlarging_keeps_the_centre() -> None:
    picture = np.zeros((9, 9))
    picture[4, 4] = picture[4, 6] = 1
    assert rescaled(picture, 2.0)[4, 4] == pytest.approx(1)
    assert rescaled(picture, 2.0)[4, 8] == pytest.approx(1)
    assert rescaled(picture, 0.5)[4, 5] == pytest.approx(1)


def test_the_content_fills_the_first_framing_and_the_second_keeps_proportions() -> None:
    picture = np.zeros((40, 80))
    picture[10:30, 20:60] = 0.5
    content, whole = framed(picture, side=32)
    assert (content == 0.5).all()
    assert whole.shape == (32, 32)
    assert (whole[:8] == 0).all()
    assert (whole[13:19, 9:23] == 0.5).all()
