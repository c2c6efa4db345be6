import numpy as np
import pytest

from helpers.masked_images import disc, write_masked_pictures
from monai_ext.data import open_segmented_sections
from monai_ext.handlers.overlay_page import draw_overlay_page
from monai_ext.handlers.segmentation_files import SegmentedCase


@pytest.fixture
def images(tmp_path):
    return open_segmented_sections(write_masked_pictures(tmp_path / "data")).choose("all")


def _case(images, number):
    mask = disc(number)[1][None] // 255
    return SegmentedCase((number,), "g", False, np.roll(mask, 4, axis=2), mask)


@pytest.mark.parametrize("count", [1, 5, 24])
def test_masks_are_outlined_in_blue_and_predictions_in_orange(images, count):
    cases = [_case(images, number) for number in range(count)]
    page = np.asarray(draw_overlay_page(images, cases, np.linspace(0, 1, count)).crop((0, 20, 926, 700))).astype(int)
    blue = (page[..., 2] > 200) & (page[..., 0] < 90)
    orange = (page[..., 0] > 200) & (page[..., 2] < 90)
    assert blue.sum() > 100
    assert orange.sum() > 100


def test_cases_without_a_dice_are_drawn_where_there_is_no_other(images):
    page = draw_overlay_page(images, [_case(images, 0)], [float("nan")])
    assert page.size == (926, 762)
