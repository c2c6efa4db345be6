"""Boxes by area and aspect ratio; their properties over random images are tested with the views."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms.crop_boxes import CropBoxes


def test_area_ratio_and_place_follow_the_draws() -> None:
    draws = torch.tensor([[0.0, 0.5, 0.0, 0.0], [1.0, 0.5, 0.3, 0.3], [0.0, 1.0, 1.0, 0.5]], dtype=torch.float64)
    boxes = CropBoxes([0.25, 1.0], [0.5, 2.0]).place(draws, height=40, width=40)
    # A quarter of the area, square, at the top left; everything; a quarter, twice as wide as high, at the bottom.
    wide, high = 20 * 2**0.5, 20 / 2**0.5
    expected = [[0, 0, 20, 20], [0, 0, 40, 40], [40 - high, (40 - wide) / 2, high, wide]]
    torch.testing.assert_close(boxes, torch.tensor(expected))


def test_a_fraction_is_called_by_its_name_when_refused() -> None:
    with pytest.raises(ValueError, match=r"area=\[0.5, 1.5\]"):
        CropBoxes([0.5, 1.5], [1, 1], name="area")
