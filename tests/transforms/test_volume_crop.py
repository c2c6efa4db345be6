"""Views of volumes: crops and mirrors in three dimensions."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import RandVolumeCropFlip, VolumeCrop
from monai_ext.transforms.resample import resample_boxes, resample_cuboids


def volumes(batch: int = 3, side: int = 18, channels: int = 1) -> torch.Tensor:
    return torch.rand(batch, channels, side, side, side, generator=torch.Generator().manual_seed(0))


def test_a_box_of_whole_voxels_is_cut_out_and_mirrored_where_it_was_drawn() -> None:
    images = volumes(2)
    boxes = torch.tensor([[1.0, 2.0, 0.0, 16.0, 16.0, 16.0], [0.0, 0.0, 2.0, 16.0, 16.0, 16.0]])
    views = RandVolumeCropFlip(16).apply(images, VolumeCrop(boxes, torch.tensor([False, True])))
    torch.testing.assert_close(views[0], images[0, :, 1:17, 2:18, 0:16])
    torch.testing.assert_close(views[1], images[1, :, 0:16, 0:16, 2:18].flip(-1))


def test_of_a_volume_that_is_equal_along_its_first_axis_each_plane_is_the_view_of_a_slice() -> None:
    planes = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[1.5, 2.25, 17.0, 19.5], [0.0, 3.0, 20.0, 20.0]])
    cuboids = torch.cat([torch.tensor([[0.0], [1.0]]), boxes[:, :2], torch.tensor([[9.0], [8.0]]), boxes[:, 2:]], dim=1)
    flip = torch.tensor([True, False])
    got = resample_cuboids(planes[:, :, None].expand(-1, -1, 10, -1, -1), cuboids, size=12, flip=flip)
    expected = resample_boxes(planes, boxes, size=12, flip=flip)
    torch.testing.assert_close(got, expected[:, :, None].expand_as(got))


def test_a_box_is_within_the_volume_keeps_its_proportions_and_has_the_wanted_volume() -> None:
    images = torch.empty(256, 1, 20, 30, 40)
    boxes, flip = RandVolumeCropFlip(8, scale=[0.2, 0.9]).randomize(images)
    start, extent = boxes[:, :3], boxes[:, 3:]
    sides = torch.tensor([20.0, 30.0, 40.0])
    assert (start >= 0).all()
    assert (start + extent <= sides + 1e-4).all()
    fraction = (extent / sides).prod(dim=1)
    assert 0.2 <= fraction.min() < 0.3
    assert 0.8 < fraction.max() <= 0.9
    torch.testing.assert_close(extent / sides, (extent / sides)[:, :1].expand(-1, 3))
    assert 0.4 < flip.float().mean() < 0.6


def test_views_repeat_with_the_generator_and_do_not_depend_on_the_batch() -> None:
    views, images = RandVolumeCropFlip(16), volumes()
    drawn = views.randomize(images, generator=torch.Generator().manual_seed(3))
    again = views.randomize(images, generator=torch.Generator().manual_seed(3))
    assert all(torch.equal(*pair) for pair in zip(drawn, again, strict=True))
    alone = [views.apply(images[[n]], VolumeCrop(drawn.boxes[[n]], drawn.flip[[n]])) for n in range(len(images))]
    assert torch.equal(torch.cat(alone), views.apply(images, drawn))


def test_the_input_is_left_as_it_was_and_views_stay_within_0_and_1() -> None:
    images = volumes(channels=2)
    before = images.clone()
    views = RandVolumeCropFlip(16, scale=[0.7, 1.0])(images)
    assert torch.equal(images, before)
    assert views.shape == (3, 2, 16, 16, 16)
    assert views.min() >= 0
    assert views.max() <= 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 0}, "at least 1 voxel"),
        ({"scale": [0.5, 1.5]}, "cannot be larger than the volume"),
        ({"scale": [0.9, 0.5]}, "smallest first"),
        ({"flip_probability": 2}, "within"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        RandVolumeCropFlip(**{"size": 8, **options})


@pytest.mark.parametrize(
    ("shape", "sentence"), [((2, 1, 20, 20), r"\(B, C, D, H, W\)"), ((2, 1, 20, 10, 20), "cannot be cropped")]
)
def test_other_batches_are_refused(shape, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        RandVolumeCropFlip(16)(torch.zeros(shape))
