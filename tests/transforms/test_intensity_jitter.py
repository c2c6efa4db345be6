"""Brightness, contrast, gamma."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import IntensityJitter, RandIntensityJitter


def _jitter(
    pixels: list[float], *, brightness: float = 1.0, offset: float = 0.0, contrast: float = 1.0, gamma: float = 1.0
) -> list[float]:
    numbers = (torch.tensor([value], dtype=torch.float64) for value in (brightness, offset, contrast, gamma))
    images = torch.tensor(pixels).reshape(1, 1, 1, -1)
    return RandIntensityJitter().apply(images, IntensityJitter(torch.tensor([True]), *numbers)).flatten().tolist()


def test_brightness_is_a_factor_that_leaves_black_black() -> None:
    assert _jitter([0.0, 0.5, 0.9], brightness=1.2) == pytest.approx([0, 0.6, 1.0])


def test_an_offset_shifts_black_too_and_is_clipped() -> None:
    assert _jitter([0.0, 0.5, 0.9], offset=0.2) == pytest.approx([0.2, 0.7, 1.0])
    assert _jitter([0.0, 0.5, 0.9], offset=-0.2) == pytest.approx([0, 0.3, 0.7])


def test_brightness_is_an_offset_where_it_is_asked_for_and_a_factor_otherwise() -> None:
    images = torch.zeros(3000, 1, 1, 1)
    assert (RandIntensityJitter().randomize(images).offset == 0).all()
    drawn = RandIntensityJitter(brightness=0, brightness_offset=0.4).randomize(images)
    assert (drawn.brightness == 1).all()
    assert -0.4 <= drawn.offset.min() < -0.38
    assert 0.38 < drawn.offset.max() <= 0.4


def test_every_image_is_changed_unless_a_probability_is_given() -> None:
    assert RandIntensityJitter().randomize(torch.zeros(500, 1, 1, 1)).chosen.all()


def test_contrast_stretches_the_distance_from_the_images_mean() -> None:
    assert _jitter([0.2, 0.4, 0.6], contrast=1.5) == pytest.approx([0.1, 0.4, 0.7])


def test_gamma_is_an_exponent() -> None:
    assert _jitter([0.0, 0.5, 1.0], gamma=2.0) == pytest.approx([0, 0.25, 1])


def test_gamma_comes_first_then_brightness_then_contrast() -> None:
    # 0.25 and 0.01 after gamma, 0.375 and 0.015 after brightness, mean 0.195, then half as far from it.
    assert _jitter([0.5, 0.1], brightness=1.5, contrast=0.5, gamma=2.0) == pytest.approx([0.285, 0.105])


def test_factors_lie_within_their_ranges() -> None:
    drawn = RandIntensityJitter(brightness=0.3, contrast=0.2, gamma=2.0).randomize(torch.zeros(3000, 1, 1, 1))
    for values, low, high in ((drawn.brightness, 0.7, 1.3), (drawn.contrast, 0.8, 1.2), (drawn.gamma, 0.5, 2.0)):
        assert low <= values.min() < low + 0.02
        assert high - 0.02 < values.max() <= high
    assert drawn.gamma.log().mean().item() == pytest.approx(0, abs=0.03)


def test_nothing_to_change_changes_nothing() -> None:
    images = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(RandIntensityJitter(brightness=0, contrast=0, gamma=1, probability=1)(images), images)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"brightness": 1.5}, "brightness is how far a factor may be from 1"),
        ({"contrast": -0.1}, "contrast is how far a factor may be from 1"),
        ({"brightness_offset": 1.2}, "brightness_offset is the most that is added"),
        ({"gamma": 0.5}, "largest exponent, 1 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RandIntensityJitter(**options)
