"""Random views."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ext.transforms import CropFlip, RandResizedCropFlip


def _boxes(views: RandResizedCropFlip, *, height: int, width: int, batch: int = 64) -> torch.Tensor:
    return views.randomize(torch.zeros(batch, 1, height, width), generator=torch.Generator().manual_seed(0)).boxes


@given(height=st.integers(32, 90), width=st.integers(32, 90), low=st.floats(0.05, 1), high=st.floats(0.05, 1))
@settings(max_examples=60, deadline=None)
def test_boxes_lie_in_the_image_and_have_the_shape_and_at_most_the_area_asked_for(
    height: int, width: int, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    boxes = _boxes(RandResizedCropFlip(32, scale=[low, high]), height=height, width=width)
    top, left, rows, columns = boxes.double().unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + rows <= height + 1e-3).all()
    assert (left + columns <= width + 1e-3).all()
    area, ratio = rows * columns / (height * width), columns / rows
    fits_whole = 3 / 4 <= width / height <= 4 / 3
    largest = 1.0 if fits_whole else min(width / 3 * 4 / height, height / 3 * 4 / width)
    central = (area - largest).abs() < 1e-3  # what is taken when nothing fitted
    assert (((area > low - 1e-4) & (area < high + 1e-4)) | central).all()
    assert ((ratio > 3 / 4 - 1e-3) & (ratio < 4 / 3 + 1e-3)).all()


def test_aspect_ratios_stay_within_their_range_where_the_image_has_room() -> None:
    rows, columns = _boxes(RandResizedCropFlip(8, scale=[0.1, 0.3], ratio=[0.8, 1.2]), height=50, width=50)[:, 2:].T
    assert ((columns / rows > 0.799) & (columns / rows < 1.201)).all()


def test_the_whole_image_without_mirroring_is_the_image() -> None:
    images = torch.rand(3, 2, 16, 16)
    torch.testing.assert_close(RandResizedCropFlip(16, scale=[1, 1], flip_probability=0)(images), images)


@pytest.mark.parametrize(("probability", "expected"), [(0.0, False), (1.0, True)])
def test_mirroring_follows_its_probability(probability: float, expected: bool) -> None:
    views = RandResizedCropFlip(8, flip_probability=probability)
    assert (views.randomize(torch.zeros(20, 1, 9, 9)).flip == expected).all()


def test_a_samples_view_does_not_depend_on_its_batch() -> None:
    images, views = torch.rand(6, 1, 40, 40), RandResizedCropFlip(24, scale=[0.1, 1.0])
    parameters = views.randomize(images)
    together = views.apply(images, parameters)
    for index in range(6):
        alone = CropFlip(parameters.boxes[index : index + 1], parameters.flip[index : index + 1])
        assert torch.equal(views.apply(images[index : index + 1], alone)[0], together[index])


def test_the_global_generator_decides_on_the_views() -> None:
    images, views = torch.rand(4, 1, 20, 20), RandResizedCropFlip(16)
    torch.manual_seed(3)
    first = views(images)
    assert not torch.equal(views(images), first)
    torch.manual_seed(3)
    assert torch.equal(views(images), first)


def test_a_given_generator_leaves_the_global_one_alone() -> None:
    images, views = torch.rand(4, 1, 20, 20), RandResizedCropFlip(16)
    state = torch.get_rng_state()
    first = views(images, generator=torch.Generator().manual_seed(5))
    assert torch.equal(views(images, generator=torch.Generator().manual_seed(5)), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 0}, "size of at least 1"),
        ({"size": 8, "scale": [0.5, 1.2]}, "crop cannot be larger than the image"),
        ({"size": 8, "scale": [0.8, 0.2]}, "smallest first"),
        ({"size": 8, "scale": [0, 0.2]}, "positive numbers"),
        ({"size": 8, "ratio": [1.0]}, "ratio is a pair"),
        ({"size": 8, "flip_probability": 2}, r"within \[0, 1\]"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RandResizedCropFlip(**options)


def test_images_smaller_than_the_views_are_refused() -> None:
    with pytest.raises(ValueError, match="64 x 64 pixels cannot be cropped from images of 48 x 80"):
        RandResizedCropFlip(64)(torch.zeros(2, 1, 48, 80))


def test_anything_but_a_batch_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, C, H, W\)"):
        RandResizedCropFlip(4)(torch.zeros(1, 8, 8))
