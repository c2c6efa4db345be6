"""Batched, antialiased resampling of boxes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from monai_ext.transforms.resample import resample_boxes


def _whole(images: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0, *images.shape[-2:]]]).repeat(len(images), 1)


@pytest.mark.parametrize("size", [5, 16, 40, 64])
def test_the_whole_image_is_resized_as_pytorch_does_with_antialiasing(size: int) -> None:
    images = torch.rand(2, 3, 40, 52)
    expected = interpolate(images, (size, size), mode="bilinear", antialias=True)
    torch.testing.assert_close(resample_boxes(images, _whole(images), size=size), expected)


def test_a_box_of_the_results_size_is_cut_out_unchanged() -> None:
    images = torch.rand(1, 1, 9, 12)
    cut = resample_boxes(images, torch.tensor([[2.0, 5.0, 6.0, 6.0]]), size=6)
    torch.testing.assert_close(cut, images[:, :, 2:8, 5:11])


def test_halving_a_row_weighs_neighbours_by_a_triangle() -> None:
    images = torch.tensor([0.0, 0.0, 8.0, 0.0]).expand(1, 1, 4, 4)
    halved = resample_boxes(images, _whole(images), size=2)
    # Centres lie at 0.5 and 2.5; weights 1 - d/2 of the pixels within 2: (.75 .75 .25) and (.25 .75 .75), normalised.
    torch.testing.assert_close(halved[0, 0, 0], torch.tensor([8 * 0.25 / 1.75, 8 * 0.75 / 1.75]))


def test_flipping_mirrors_left_and_right_of_the_chosen_images_only() -> None:
    images = torch.rand(2, 1, 12, 12)
    plain = resample_boxes(images, _whole(images), size=7)
    flipped = resample_boxes(images, _whole(images), size=7, flip=torch.tensor([True, False]))
    torch.testing.assert_close(flipped[0], plain[0].flip(-1))
    assert torch.equal(flipped[1], plain[1])


def test_autocast_does_not_change_a_bit() -> None:
    images = torch.rand(2, 1, 20, 20)
    expected = resample_boxes(images, _whole(images), size=9)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(resample_boxes(images, _whole(images), size=9), expected)


def test_the_type_of_the_images_is_kept() -> None:
    images = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    assert resample_boxes(images, _whole(images), size=4).dtype == torch.float64


def test_mirroring_top_and_bottom_and_exchanging_axes_follow_the_cut() -> None:
    images = torch.rand(2, 1, 12, 12)
    plain = resample_boxes(images, _whole(images), size=7)
    chosen = torch.tensor([True, False])
    assert torch.equal(resample_boxes(images, _whole(images), size=7, flip_vertical=chosen)[0], plain[0].flip(-2))
    exchanged = resample_boxes(images, _whole(images), size=7, flip=chosen, transpose=chosen)
    torch.testing.assert_close(exchanged[0], plain[0].flip(-1).mT)
    torch.testing.assert_close(exchanged[1], plain[1])


def test_a_box_that_leaves_the_image_continues_the_outermost_pixels() -> None:
    images = torch.rand(1, 1, 6, 6)
    padded = torch.nn.functional.pad(images, (3, 3, 3, 3), mode="replicate")
    torch.testing.assert_close(resample_boxes(images, torch.tensor([[-3.0, -3.0, 12.0, 12.0]]), size=12), padded)


def test_another_box_in_the_batch_does_not_change_a_bit() -> None:
    images = torch.rand(2, 1, 64, 64)
    boxes = torch.tensor([[10.0, 10.0, 17.3, 15.9], [0.0, 0.0, 64.0, 64.0]])
    together = resample_boxes(images, boxes, size=16)  # the larger box needs more taps
    assert torch.equal(resample_boxes(images[:1], boxes[:1], size=16)[0], together[0])
