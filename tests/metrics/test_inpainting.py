import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ext.metrics import linear_inpainting, visible_mean


def _ramp(size: int, spatial_dims: int = 2) -> torch.Tensor:
    """(1, 1, size, ...) whose value is the sum of the pixel's coordinates."""
    line = torch.arange(size, dtype=torch.float64)
    grids = torch.meshgrid(*[line] * spatial_dims, indexing="ij")
    return sum(grids)[None, None]


def test_mean_of_the_visible_patches_fills_the_masked_ones():
    image = torch.tensor([[[[1.0, 3.0, 50.0, 60.0]]]])
    visible = torch.tensor([[[[True, False]]]])
    assert visible_mean(image, visible).flatten().tolist() == [1.0, 3.0, 2.0, 2.0]


def test_each_image_and_channel_has_its_own_mean():
    image = torch.stack([torch.full((2, 2, 4), 1.0), torch.full((2, 2, 4), 5.0)])
    image[:, 1] *= 10
    visible = torch.tensor([[[[True, False]]], [[[False, True]]]])
    assert torch.equal(visible_mean(image, visible), image)


def test_a_masked_pixel_lies_on_the_line_between_its_visible_neighbours():
    image = torch.tensor([[[[2.0, 0.0, 0.0, 0.0, 6.0]]]])
    visible = torch.tensor([[[[True, False, False, False, True]]]])
    assert linear_inpainting(image, visible).flatten().tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_at_the_edge_the_nearest_visible_pixel_is_repeated():
    image = torch.tensor([[[[0.0, 4.0, 8.0, 0.0]]]])
    visible = torch.tensor([[[[False, True, True, False]]]])
    assert linear_inpainting(image, visible).flatten().tolist() == [4.0, 4.0, 8.0, 8.0]


def test_the_nearer_line_weighs_more():
    image = torch.zeros(1, 1, 3, 5)
    image[..., 0, 2], image[..., 1, 0], image[..., 1, 4] = 6.0, 0.0, 0.0
    visible = torch.zeros(1, 1, 3, 5, dtype=torch.bool)
    visible[..., 0, 2] = visible[..., 1, 0] = visible[..., 1, 4] = True
    # Up: value 6 at distance 1. Along the row: value 0 at distance 2. (6 / 1 + 0 / 2) / (1 / 1 + 1 / 2) = 4.
    assert linear_inpainting(image, visible)[0, 0, 1, 2] == pytest.approx(4.0)


def test_without_a_visible_pixel_on_its_lines_a_pixel_gets_the_mean():
    image = torch.zeros(1, 1, 2, 2)
    image[..., 0, 0] = 7.0
    visible = torch.tensor([[[[True, False], [False, False]]]])
    assert linear_inpainting(image, visible)[0, 0, 1, 1] == 7.0


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_ramp_is_restored_where_every_gap_has_two_sides(spatial_dims):
    image = _ramp(6, spatial_dims)
    visible = torch.ones(1, 1, *[3] * spatial_dims, dtype=torch.bool)
    visible[(0, 0, *[1] * spatial_dims)] = False
    torch.testing.assert_close(linear_inpainting(image, visible), image)


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_visible_pixels_stay_and_masked_values_do_not_matter(seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 1, 8, 8, generator=generator)
    visible = torch.rand(2, 1, 4, 4, generator=generator) < 0.5
    seen = visible.repeat_interleave(2, 2).repeat_interleave(2, 3)
    changed = torch.where(seen, image, torch.rand(2, 1, 8, 8, generator=generator))
    for predictor in (visible_mean, linear_inpainting):
        prediction = predictor(image, visible)
        assert torch.equal(prediction[seen], image[seen])
        assert torch.equal(prediction, predictor(changed, visible))
        assert prediction.min() >= 0
        assert prediction.max() <= image[seen].max() + 1e-6 if seen.any() else True


def test_a_mask_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match="must be a multiple"):
        visible_mean(torch.zeros(1, 1, 5, 5), torch.ones(1, 1, 2, 2, dtype=torch.bool))
