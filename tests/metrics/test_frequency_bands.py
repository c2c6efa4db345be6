"""Bands of spatial frequency: noise lies where it should with the same energy, and a filter is seen as it is."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from monai_ext.metrics.frequency_bands import band_energies, band_noise, octave_bands


@pytest.mark.parametrize("size", [32, 48, 33])
def test_bands_reach_the_finest_frequency_and_double(size: int) -> None:
    bands = octave_bands(size)
    assert bands[0][0] == 1
    assert bands[-1][1] == size / 2
    assert all(first[1] == second[0] for first, second in pairwise(bands))
    assert all(high == 2 * low for low, high in bands[:-1])


@pytest.mark.parametrize("size", [32, 33])
def test_noise_of_a_band_has_its_energy_there_and_nowhere_else(size: int) -> None:
    bands = octave_bands(size)
    for place, band in enumerate(bands):
        noise = band_noise((3, size, size), band, generator=torch.Generator().manual_seed(0))
        energies = band_energies(noise, bands)
        assert energies[:, place].numpy() == pytest.approx(1, abs=1e-5)
        assert energies.sum(dim=1).numpy() == pytest.approx(1, abs=1e-5)
        assert noise.mean(dim=(1, 2)).abs().max() < 1e-6


def test_energies_add_up_to_the_variance_of_images_without_finer_frequencies() -> None:
    bands = octave_bands(32)
    image = sum(band_noise((1, 32, 32), band, generator=torch.Generator().manual_seed(3)) for band in bands) + 5
    assert float(band_energies(image, bands).sum()) == pytest.approx(float(image.var(correction=0)), rel=1e-5)


def test_the_same_generator_gives_the_same_noise() -> None:
    first, second = (band_noise((2, 16, 16), (2, 4), generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_band_that_an_image_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="16 x 16 pixels has no frequency from 30 to 40"):
        band_noise((1, 16, 16), (30, 40))
