"""The composition of all steps."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import (
    RandCutout,
    RandGaussianBlur,
    RandIntensityJitter,
    RandomView,
    RandRotatedCrop,
    RandSolarize,
    RandWhiteNoise,
    RandWindow,
)


def test_a_view_is_its_steps_one_after_the_other() -> None:
    images, view = (
        torch.rand(8, 1, 20, 20),
        RandomView(12, window={"around": "lung"}, cutout={"fill": 0.5}, solarize={}),
    )
    steps = [
        RandRotatedCrop(12),
        RandWindow(around="lung"),
        RandIntensityJitter(),
        RandGaussianBlur(),
        RandSolarize(),
        RandWhiteNoise(),
        RandCutout(fill=0.5),
    ]
    generator = torch.Generator().manual_seed(2)
    state = images
    drawn = []
    for step in steps:
        drawn.append(step.randomize(torch.zeros(8, 1, 20, 20), generator=generator))
    drawn[-1] = drawn[-1]._replace(boxes=drawn[-1].boxes * 12 / 20)  # the last step sees the view's size
    for step, parameters in zip(steps, drawn, strict=True):
        state = step.apply(state, parameters)
    torch.testing.assert_close(view(images, generator=torch.Generator().manual_seed(2)), state)


def test_null_leaves_a_step_out_and_options_reach_it() -> None:
    view = RandomView(8, rotation=None, intensity=None, blur={"sigma": [1, 3]}, noise=None)
    assert [type(step) for step in view.steps] == [RandRotatedCrop, RandGaussianBlur]
    assert view.steps[0].degrees == 0  # type: ignore[attr-defined]
    assert view.steps[1].sigma == (1, 3)  # type: ignore[attr-defined]


def test_the_defaults_are_the_studys() -> None:
    crop, jitter, blur, noise = RandomView(8).steps
    assert (crop.degrees, crop.probability, crop.flips) == (180, 0.5, (0.5, 0.5))  # type: ignore[attr-defined]
    assert (jitter.brightness, jitter.contrast, jitter.gamma, jitter.probability) == (0.4, 0.4, 1, 1)  # type: ignore[attr-defined]
    assert (blur.sigma, blur.probability) == ((0.1, 2.0), 0.5)  # type: ignore[attr-defined]
    assert (noise.deviation, noise.probability) == ((0.00316, 0.01), 0.5)  # type: ignore[attr-defined]


def test_without_steps_and_crop_the_image_is_the_view() -> None:
    images = torch.rand(3, 1, 16, 16)
    view = RandomView(
        16, scale=[1, 1], ratio=[1, 1], flips=[0, 0], rotation=None, intensity=None, blur=None, noise=None
    )
    torch.testing.assert_close(view(images), images)


def test_a_misspelt_option_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"no option 'sigmas' of 'blur'.*Did you mean 'sigma'"):
        RandomView(8, blur={"sigmas": [1, 2]})


def test_options_of_the_crop_are_none_of_the_rotation() -> None:
    with pytest.raises(ValueError, match="no option 'scale' of 'rotation'; the options are degrees, probability"):
        RandomView(8, rotation={"scale": [0.1, 0.2]})


def test_label_maps_move_with_their_images() -> None:
    labels = torch.randint(0, 3, (8, 1, 5, 5)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    view = RandomView(32, scale=[0.5, 1.0], rotation={"degrees": 20.0}, intensity=None, blur=None, noise=None)
    drawn = view.randomize(labels.float())
    moved = view.apply_to_labels(labels, drawn)
    as_image = view.apply(labels.float() / 2, drawn) * 2
    assert moved.dtype == labels.dtype
    assert set(moved.unique().tolist()) == {0, 1, 2}
    whole = (as_image - as_image.round()).abs() < 1e-3
    away = whole & (torch.nn.functional.avg_pool2d(whole.float(), 3, 1, 1) > 0.99)
    assert away.float().mean() > 0.2
    assert torch.equal(moved[away], as_image[away].round().long())
