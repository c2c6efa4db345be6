"""Slices that come one after the other leave at another spacing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_ext.data.volumes.resampling import resampled_shape, resampled_slices


def resample(volume: np.ndarray, spacing_mm: tuple[float, ...], wanted_mm: tuple[float, ...]) -> np.ndarray:
    slices = resampled_slices(volume.__getitem__, shape=volume.shape, spacing_mm=spacing_mm, wanted_mm=wanted_mm)
    return np.stack(list(slices))


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.float32)


def test_at_its_own_spacing_a_volume_stays_as_it_is() -> None:
    volume = noise((5, 6, 7))
    np.testing.assert_array_equal(resample(volume, (2.5, 0.7, 0.8), (2.5, 0.7, 0.8)), volume)


def test_twice_the_spacing_is_the_antialiased_interpolation_of_pytorch() -> None:
    volume = noise((8, 12, 10))
    got = resample(volume, (1, 1, 1), (1, 2, 2))
    expected = torch.nn.functional.interpolate(torch.from_numpy(volume)[None], (6, 5), mode="bilinear", antialias=True)
    np.testing.assert_allclose(got, expected[0].numpy(), atol=0.51)  # rounded to whole HU


def test_all_three_axes_are_filtered_alike() -> None:
    volume = noise((12, 12, 12))
    along = resample(volume, (1, 1, 1), (3, 1, 1))
    down = resample(volume.transpose(1, 0, 2).copy(), (1, 1, 1), (1, 3, 1)).transpose(1, 0, 2)
    np.testing.assert_allclose(along, down, atol=1)


def test_a_ramp_stays_a_ramp_between_its_ends_as_in_itk() -> None:
    SimpleITK = pytest.importorskip("SimpleITK")
    volume = noise((6, 8, 9))
    got = resample(volume, (5, 3, 3), (1.5, 1.5, 1.5))
    image = SimpleITK.GetImageFromArray(volume)
    image.SetSpacing((3, 3, 5))
    grid = SimpleITK.Image([int(side) for side in got.shape[::-1]], SimpleITK.sitkFloat32)
    grid.SetSpacing((1.5, 1.5, 1.5))
    origins = [
        ((old - 1) * old_mm - (new - 1) * 1.5) / 2
        for old, new, old_mm in zip(volume.shape[::-1], got.shape[::-1], (3, 3, 5), strict=True)
    ]
    grid.SetOrigin(origins)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.Resample(image, grid, SimpleITK.Transform(), SimpleITK.sitkLinear))
    inside = (slice(2, -2),) * 3  # beyond the outermost voxels ITK gives 0, and here these go on
    np.testing.assert_allclose(got[inside], expected[inside], atol=0.51)


def test_fine_stripes_become_gray_instead_of_false_stripes() -> None:
    volume = np.zeros((4, 32, 32), np.float32)
    volume[:, :, ::2] = 1000
    assert np.ptp(resample(volume, (1, 1, 1), (1, 1, 4))[:, :, 1:-1]) <= 1


def test_padding_below_air_does_not_darken_what_lies_beside_it() -> None:
    volume = np.full((4, 4, 4), -3024, np.float32)
    volume[:, :, 2:] = 0
    assert resample(volume, (1, 1, 1), (1, 1, 2)).min() >= -1024


def test_slices_are_read_once_in_order_and_only_when_they_are_needed() -> None:
    asked: list[int] = []

    def read(number: int) -> np.ndarray:
        asked.append(number)
        return np.full((4, 4), float(number), np.float32)

    slices = resampled_slices(read, shape=(100, 4, 4), spacing_mm=(1, 1, 1), wanted_mm=(4, 1, 1))
    ahead = [len(asked) - 4 * count for count, _ in enumerate(slices, start=1)]
    assert asked == list(range(100))
    assert max(ahead) <= 4, "the triangle's reach, not the whole volume"


@pytest.mark.parametrize(
    ("shape", "spacing", "expected"),
    [
        ((64, 128, 128), (5, 3, 3), (213, 256, 256)),
        ((1, 2, 2), (0.2, 1, 1), (1, 1, 1)),
        ((3, 3, 3), (1.5,) * 3, (3,) * 3),
    ],
)
def test_the_extent_is_covered(shape, spacing, expected) -> None:
    assert resampled_shape(shape, spacing, wanted_mm=(1.5, 1.5, 1.5)) == expected
