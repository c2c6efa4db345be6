"""Random boxes that are turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_ext.transforms import RandResizedCropFlip, RandRotatedCrop, RotatedCrop


def _parameters(
    *, box: list[float], flip: bool = False, flip_vertical: bool = False, transpose: bool = False, degrees: float = 0.0
) -> RotatedCrop:
    return RotatedCrop(
        boxes=torch.tensor([box]),
        flip=torch.tensor([flip]),
        flip_vertical=torch.tensor([flip_vertical]),
        transpose=torch.tensor([transpose]),
        degrees=torch.tensor([degrees], dtype=torch.float64),
    )


def _smooth(height: int, width: int) -> torch.Tensor:
    noise = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 5, stride=1, padding=2)


@pytest.mark.parametrize("degrees", [-15.0, 4.0, 45.0, 120.0])
def test_the_whole_image_is_turned_clockwise_as_scipy_turns_it(degrees: float) -> None:
    image = _smooth(40, 40)
    turned = RandRotatedCrop(40, degrees=180).apply(image, _parameters(box=[0, 0, 40, 40], degrees=degrees))
    expected = ndimage.rotate(image[0, 0].numpy(), -degrees, reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(turned[0, 0].numpy(), expected, atol=2e-5)


def test_corners_of_a_turned_view_show_what_lies_beside_its_box() -> None:
    image = _smooth(60, 60)
    view = RandRotatedCrop(24, degrees=45).apply(image, _parameters(box=[18, 18, 24, 24], degrees=45.0))
    expected = ndimage.rotate(image[0, 0].numpy(), -45.0, reshape=False, order=1)[18:42, 18:42]
    np.testing.assert_allclose(view[0, 0].numpy(), expected, atol=2e-5)


def test_beyond_the_image_its_outermost_pixels_are_continued() -> None:
    image = torch.full((1, 1, 30, 30), 0.7)
    view = RandRotatedCrop(30, degrees=45).apply(image, _parameters(box=[0, 0, 30, 30], degrees=45.0))
    torch.testing.assert_close(view, image)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_move_pixels_without_interpolation(quarters: int) -> None:
    image, turns = torch.rand(1, 1, 16, 16), RandRotatedCrop(16)
    parameters = _parameters(
        box=[0, 0, 16, 16], flip=quarters in (1, 2), flip_vertical=quarters in (2, 3), transpose=quarters % 2 == 1
    )
    torch.testing.assert_close(turns.apply(image, parameters), torch.rot90(image, quarters, dims=(2, 3)))


def test_all_eight_positions_of_a_square_are_drawn() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4).expand(200, 1, 4, 4) / 16
    turns = RandRotatedCrop(4, scale=[1, 1], ratio=[1, 1], degrees=0, quarter_turn_probability=0.75)
    views = (turns(image, generator=torch.Generator().manual_seed(0)) * 16).round().flatten(1)
    assert len(torch.unique(views, dim=0)) == 8


def test_without_turning_it_is_the_plain_crop() -> None:
    images = torch.rand(5, 2, 30, 40)
    crops, turns = RandResizedCropFlip(16, scale=[0.2, 1.0]), RandRotatedCrop(16, degrees=0)
    plain = crops.randomize(images)
    no = torch.zeros(5, dtype=torch.bool)
    same = RotatedCrop(plain.boxes, plain.flip, no, no, torch.zeros(5))
    assert torch.equal(turns.apply(images, same), crops.apply(images, plain))


def test_angles_flips_and_turns_follow_their_ranges_and_probabilities() -> None:
    drawn = RandRotatedCrop(4, flips=[0.25, 0.75], degrees=20, probability=0.5).randomize(
        torch.zeros(4000, 1, 8, 8), generator=torch.Generator().manual_seed(0)
    )
    turned = drawn.degrees[drawn.degrees != 0]
    assert len(turned) / 4000 == pytest.approx(0.5, abs=0.03)
    assert (turned.min(), turned.max()) == (pytest.approx(-20, abs=0.2), pytest.approx(20, abs=0.2))
    assert drawn.flip.double().mean().item() == pytest.approx(0.25, abs=0.03)
    assert drawn.flip_vertical.double().mean().item() == pytest.approx(0.75, abs=0.03)
    assert not drawn.transpose.any()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 0}, "size of at least 1"),
        ({"size": 8, "degrees": 200}, r"within \[0, 180\]"),
        ({"size": 8, "flips": [0.5]}, "pair of probabilities"),
        ({"size": 8, "flips": [0.5, 2]}, r"flips is within \[0, 1\]"),
        ({"size": 8, "scale": [0.5, 1.2]}, "crop cannot be larger than the image"),
        ({"size": 8, "quarter_turn_probability": -1}, "quarter_turn_probability is within"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RandRotatedCrop(**options)


def test_images_smaller_than_the_views_are_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="64 x 64 pixels cannot be cropped from images of 48 x 80"):
        RandRotatedCrop(64)(torch.zeros(2, 1, 48, 80))
