"""Bands of an image's spatial frequencies, in cycles per image: noise in one of them, and what images have in each."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["band_energies", "band_noise", "octave_bands"]

Band = tuple[float, float]


def octave_bands(size: int) -> tuple[Band, ...]:
    """From 1 cycle per image to the finest that pixels can show, half of the size; each band doubles the frequency.

    >>> octave_bands(16)
    ((1.0, 2.0), (2.0, 4.0), (4.0, 8.0))
    """
    edges = [1.0]
    while edges[-1] < size / 2:
        edges.append(min(2 * edges[-1], size / 2))
    return tuple(pairwise(edges))


def band_noise(shape: tuple[int, int, int], band: Band, *, generator: torch.Generator | None = None) -> Tensor:
    """(B, H, W) gaussian noise whose radial frequency lies in a band, each image with mean 0 and mean square 1.

    So the noise of all bands has the same energy, and differs in nothing but how fine it is.

    Args:
        shape: (B, H, W).
        band: lowest frequency, and the one that is not reached any more (the last band of :func:`octave_bands` has its
            end), in cycles per image.
        generator: on the CPU.

    Raises:
        ValueError: no frequency of such an image lies in the band.
    """
    mask = _is_in(shape[-2:], band)
    if not bool(mask.any()):
        raise ValueError(
            f"An image of {shape[1]} x {shape[2]} pixels has no frequency from {band[0]:g} to {band[1]:g}."
        )
    white = torch.randn(shape, generator=generator, dtype=torch.float64)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * mask, s=shape[-2:])
    return (noise / noise.square().mean(dim=(-2, -1), keepdim=True).sqrt()).float()


def band_energies(images: Tensor, bands: tuple[Band, ...]) -> Tensor:
    """(B, bands): mean square of the part of each image (B, H, W) that lies in each band.

    >>> wave = torch.sin(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 16, 16)
    >>> band_energies(wave, octave_bands(16)).round(decimals=6).tolist()
    [[0.0, 0.5, 0.0]]
    """
    height, width = images.shape[-2:]
    power = torch.fft.rfft2(images.double()).abs().square() / (height * width) ** 2
    twice = torch.full((width // 2 + 1,), 2.0, dtype=torch.float64)  # rfft2 leaves out the other half, its mirror image
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    power = power.cpu() * twice
    return torch.stack([(power * _is_in((height, width), band)).sum(dim=(-2, -1)) for band in bands], dim=1)


def _is_in(size: tuple[int, int], band: Band) -> Tensor:
    """(H, W // 2 + 1) boolean, of the frequencies of ``rfft2``; the finest band has its end."""
    height, width = size
    rows, columns = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    radius = torch.hypot(rows[:, None], columns[None])
    is_last = band[1] >= min(size) / 2
    return (radius >= band[0]) & ((radius <= band[1]) if is_last else (radius < band[1]))
