"""What holds for every random transform of a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_ext.transforms import (
    BatchTransform,
    RandCutout,
    RandGaussianBlur,
    RandIntensityJitter,
    RandomView,
    RandResizedCropFlip,
    RandRotatedCrop,
    RandSolarize,
    RandWhiteNoise,
    RandWindow,
)
from monai_ext.transforms.batch_transform import apply_where

TRANSFORMS: dict[str, BatchTransform[Any]] = {
    "crop": RandResizedCropFlip(16, scale=[0.2, 1.0]),
    "rotated crop": RandRotatedCrop(16, degrees=180, quarter_turn_probability=0.5),
    "window": RandWindow("full", around=["lung", "bone"]),
    "relative window": RandWindow(None, center_shift=0.3),
    "intensity": RandIntensityJitter(gamma=1.25, brightness_offset=0.1, probability=0.8),
    "blur": RandGaussianBlur(),
    "solarize": RandSolarize(),
    "noise": RandWhiteNoise(deviation=0.3),
    "cutout": RandCutout(),
    "view": RandomView(16, rotation={"degrees": 30}, window={}, cutout={}, solarize={}),
}
STEPS = ["window", "relative window", "intensity", "blur", "solarize", "noise", "cutout"]

every_transform = pytest.mark.parametrize("name", TRANSFORMS)
every_transform_but_noise = pytest.mark.parametrize(
    "name", [name for name in TRANSFORMS if name not in ("noise", "view")]
)
"""Noise differs from channel to channel, and every device has its own generator of it."""


def _images(batch: int = 6, *, channels: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(batch, channels, 24, 20, generator=torch.Generator().manual_seed(1), dtype=dtype)


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _one_sample(parameters: Any, index: int) -> Any:
    """The parameters of one sample of a batch, as a batch of one."""
    if isinstance(parameters, torch.Tensor):
        return parameters[index : index + 1]
    parts = (_one_sample(part, index) for part in parameters)
    return type(parameters)(*parts) if hasattr(parameters, "_fields") else tuple(parts)


@every_transform
def test_the_input_is_never_changed(name: str) -> None:
    images = _images()
    TRANSFORMS[name](images, generator=_seeded())
    assert torch.equal(images, _images())


@every_transform
def test_the_generator_decides_and_the_global_one_is_left_alone(name: str) -> None:
    state = torch.get_rng_state()
    first = TRANSFORMS[name](_images(), generator=_seeded(3))
    assert torch.equal(TRANSFORMS[name](_images(), generator=_seeded(3)), first)
    assert not torch.equal(TRANSFORMS[name](_images(), generator=_seeded(4)), first)
    assert torch.equal(torch.get_rng_state(), state)


@every_transform
def test_the_global_generator_is_used_when_none_is_given(name: str) -> None:
    torch.manual_seed(5)
    first = TRANSFORMS[name](_images())
    torch.manual_seed(5)
    assert torch.equal(TRANSFORMS[name](_images()), first)


@every_transform
def test_a_samples_result_does_not_depend_on_its_batch(name: str) -> None:
    images, transform = _images(), TRANSFORMS[name]
    parameters = transform.randomize(images, generator=_seeded())
    together = transform.apply(images, parameters)
    for index in range(len(images)):
        alone = transform.apply(images[index : index + 1], _one_sample(parameters, index))
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=5e-7)


@every_transform
@pytest.mark.parametrize("gray", [0.0, 0.4, 1.0])
def test_images_of_one_colour_stay_finite_and_within_the_range(name: str, gray: float) -> None:
    result = TRANSFORMS[name](torch.full((20, 1, 24, 20), gray), generator=_seeded())
    assert ((result >= 0) & (result <= 1)).all()  # false for NaN


@every_transform
@pytest.mark.parametrize(("channels", "dtype"), [(1, torch.float64), (3, torch.float32), (2, torch.bfloat16)])
def test_type_and_channels_are_kept_and_values_stay_within_the_range(
    name: str, channels: int, dtype: torch.dtype
) -> None:
    result = TRANSFORMS[name](_images(channels=channels, dtype=dtype), generator=_seeded())
    assert (result.dtype, result.shape[:2]) == (dtype, (6, channels))
    assert ((result >= 0) & (result <= 1)).all()


@every_transform_but_noise
def test_channels_of_one_image_are_treated_alike(name: str) -> None:
    result = TRANSFORMS[name](_images().repeat(1, 2, 1, 1), generator=_seeded())
    torch.testing.assert_close(result[:, 0], result[:, 1])


@every_transform
def test_anything_but_a_batch_of_images_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(B, C, H, W\)"):
        TRANSFORMS[name](torch.zeros(1, 24, 24))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_probability_zero_gives_the_images_as_they_are(name: str) -> None:
    transform = TRANSFORMS[name].__class__(probability=0.0)  # type: ignore[call-arg]
    assert torch.equal(transform(_images()), _images())


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_the_chosen_images_and_no_others(name: str) -> None:
    images, transform = _images(40), TRANSFORMS[name]
    parameters = transform.randomize(images, generator=_seeded())
    changed = (transform.apply(images, parameters) != images).flatten(1).any(dim=1)
    assert torch.equal(changed, parameters.chosen)
    assert 0 < changed.sum() < 40


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_probabilities_beyond_zero_and_one_are_refused(name: str, probability: float) -> None:
    with pytest.raises(ValueError, match=r"probability is within \[0, 1\]"):
        TRANSFORMS[name].__class__(probability=probability)  # type: ignore[call-arg]


def test_drawing_takes_as_many_numbers_whatever_the_size() -> None:
    for transform in TRANSFORMS.values():
        generators = _seeded(), _seeded()
        transform.randomize(torch.zeros(3, 1, 24, 24), generator=generators[0])
        transform.randomize(torch.zeros(3, 3, 40, 90), generator=generators[1])
        assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_a_function_sees_the_chosen_images_only() -> None:
    images = torch.arange(4.0).reshape(4, 1, 1, 1)
    result = apply_where(images, torch.tensor([True, False, False, True]), lambda chosen, indices: chosen + 10)
    assert result.flatten().tolist() == [10, 1, 2, 13]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_transform_but_noise
def test_a_gpu_makes_the_same_views(name: str) -> None:
    images, transform = _images(), TRANSFORMS[name]
    expected = transform(images, generator=_seeded())
    torch.testing.assert_close(transform(images.cuda(), generator=_seeded()).cpu(), expected, rtol=0, atol=1e-5)
