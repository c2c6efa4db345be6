"""Boxes by area and aspect ratio: worked out by hand, and by their distribution against the rule they follow."""

from __future__ import annotations

import math
import random

import pytest
import torch
from scipy.stats import ks_2samp

from monai_ext.transforms.crop_boxes import CropBoxes

RATIO = (3 / 4, 4 / 3)


def drawn(boxes: CropBoxes, *, height: int, width: int, count: int = 20_000) -> torch.Tensor:
    """Boxes (count, 4) in float64."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(count, CropBoxes.DRAWS, generator=generator, dtype=torch.float64)
    return boxes.place(draws, height=height, width=width).double()


def by_rule(scale: tuple[float, float], *, height: int, width: int, count: int = 5_000) -> list[tuple[float, float]]:
    """Height and width by the rule that torchvision documents, one box after the other, rounded as it does."""
    source, found = random.Random(1), []
    for _ in range(count):
        for _ in range(10):
            area = height * width * source.uniform(*scale)
            ratio = math.exp(source.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
            high, wide = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if high <= height and wide <= width:
                break
        else:
            high, wide = min(height, round(width / RATIO[0])), min(width, round(height * RATIO[1]))
        found.append((high, wide))
    return found


def test_area_ratio_and_place_follow_the_draws_of_the_first_try() -> None:
    tries = CropBoxes.TRIES
    draws = torch.zeros(3, CropBoxes.DRAWS, dtype=torch.float64)
    draws[:, 0] = torch.tensor([0.0, 1.0, 0.0])  # area
    draws[:, tries] = torch.tensor([0.5, 0.5, 1.0])  # ratio
    draws[:, -2:] = torch.tensor([[0.0, 0.0], [0.3, 0.3], [1.0, 0.5]])  # place
    boxes = CropBoxes([0.25, 1.0], [0.5, 2.0]).place(draws, height=40, width=40)
    # A quarter of the area, square, at the top left; everything; a quarter, twice as wide as high, at the bottom.
    wide, high = 20 * 2**0.5, 20 / 2**0.5
    expected = [[0, 0, 20, 20], [0, 0, 40, 40], [40 - high, (40 - wide) / 2, high, wide]]
    torch.testing.assert_close(boxes, torch.tensor(expected))


def test_a_box_that_does_not_fit_is_drawn_again_and_at_last_the_central_one_is_taken() -> None:
    tries = CropBoxes.TRIES
    draws = torch.zeros(2, CropBoxes.DRAWS, dtype=torch.float64)
    draws[:, :tries], draws[:, tries : 2 * tries] = 1.0, 1.0  # the whole area, twice as wide as high: too wide
    draws[0, 2], draws[0, tries + 2] = 0.0, 0.5  # the third try fits: a quarter, square
    boxes = CropBoxes([0.25, 1.0], [0.5, 2.0]).place(draws, height=40, width=40)
    assert boxes.tolist() == [[0, 0, 20, 20], [0, 0, 40, 40]]


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(20, 100, [0, 30, 20, 40]), (100, 20, [30, 0, 40, 20]), (30, 40, [0, 0, 30, 40])]
)
def test_the_central_box_is_the_largest_within_the_range_of_ratios(height: int, width: int, expected: list) -> None:
    draws = torch.full((1, CropBoxes.DRAWS), 0.9, dtype=torch.float64)
    boxes = CropBoxes([0.99, 1.0], [0.5, 2.0]).place(draws, height=height, width=width)
    assert boxes[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("scale", "mean"), [((0.2, 1.0), 0.54), ((0.67, 1.0), 0.784)])
def test_the_mean_area_is_that_of_the_rule(scale: tuple[float, float], mean: float) -> None:
    boxes = drawn(CropBoxes(scale, RATIO), height=224, width=224)
    assert (boxes[:, 2] * boxes[:, 3]).mean().item() / 224**2 == pytest.approx(mean, abs=0.006)


@pytest.mark.parametrize("size", [(256, 256), (256, 512), (300, 200)], ids=str)
@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.9, 1.0), (0.1, 0.33)], ids=str)
def test_areas_and_ratios_are_distributed_as_by_the_rule(scale: tuple[float, float], size: tuple[int, int]) -> None:
    height, width = size
    boxes = drawn(CropBoxes(scale, RATIO), height=height, width=width)
    expected = torch.tensor(by_rule(scale, height=height, width=width), dtype=torch.float64)
    for high, wide in ((boxes[:, 2], boxes[:, 3]), (expected[:, 0], expected[:, 1])):
        assert ((wide / high > 0.74) & (wide / high < 1.35)).all()
    # Rounded to two digits: the rule's boxes have whole pixels.
    areas = [(box[:, -2] * box[:, -1] / (height * width)).round(decimals=2) for box in (boxes, expected)]
    ratios = [(box[:, -1] / box[:, -2]).log().round(decimals=1) for box in (boxes, expected)]
    assert ks_2samp(*areas).pvalue > 1e-4
    assert ks_2samp(*ratios).pvalue > 1e-4


def test_places_are_uniform_in_the_room_that_is_left() -> None:
    boxes = drawn(CropBoxes((0.2, 0.5), RATIO), height=224, width=224)
    for axis in (0, 1):
        place = boxes[:, axis] / (224 - boxes[:, 2 + axis])
        assert place.histc(10, 0, 1).div(len(place)).sub(0.1).abs().max() < 0.01


def test_a_fraction_is_called_by_its_name_when_refused() -> None:
    with pytest.raises(ValueError, match=r"area=\[0.5, 1.5\]"):
        CropBoxes([0.5, 1.5], [1, 1], name="area")
