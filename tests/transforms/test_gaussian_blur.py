"""Gaussian blur."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_ext.transforms import GaussianBlur, RandGaussianBlur


def test_every_image_is_blurred_by_its_own_sigma_as_scipy_blurs_it() -> None:
    images, sigmas = torch.rand(3, 2, 20, 15), [0.1, 1.0, 2.0]
    parameters = GaussianBlur(torch.tensor([True] * 3), torch.tensor(sigmas, dtype=torch.float64))
    blurred = RandGaussianBlur(sigma=[0.1, 2.0]).apply(images, parameters)
    for image, sigma, result in zip(images, sigmas, blurred, strict=True):
        for channel in range(2):
            expected = ndimage.gaussian_filter(image[channel].double().numpy(), sigma, mode="nearest", radius=6)
            np.testing.assert_allclose(result[channel].numpy(), expected, atol=1e-6)


def test_a_point_becomes_a_gaussian() -> None:
    image = torch.zeros(1, 1, 21, 21)
    image[..., 10, 10] = 1.0
    blurred = RandGaussianBlur(sigma=[1.5, 1.5], probability=1.0)(image)[0, 0].double()
    assert blurred.sum().item() == pytest.approx(1.0, abs=1e-6)
    assert (blurred[10, 11] / blurred[10, 10]).item() == pytest.approx(np.exp(-0.5 / 1.5**2), abs=1e-6)


def test_images_smaller_than_the_kernel_are_blurred_too() -> None:
    assert RandGaussianBlur(sigma=[5, 5], probability=1.0)(torch.rand(1, 1, 3, 2)).shape == (1, 1, 3, 2)


@pytest.mark.parametrize("sigma", [[0.0, 1.0], [2.0, 1.0], [1.0]])
def test_ranges_of_sigma_that_make_no_sense_are_refused(sigma: list[float]) -> None:
    with pytest.raises(ValueError, match="sigma is a pair of positive numbers"):
        RandGaussianBlur(sigma=sigma)
