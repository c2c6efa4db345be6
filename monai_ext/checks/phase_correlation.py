"""How well the fine detail of two pictures coincides when one is shifted over the other."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

__all__ = ["correlations", "detail_spectrum", "rescaled"]

_EVEN = 0.1


def detail_spectrum(pictures: np.ndarray, *, coarse: float, whiten: bool = False) -> np.ndarray:
    """Fourier transform of the detail of pictures, scaled so that each correlates with itself as 1.

    Detail is what a Gaussian blur takes away; towards the edges it fades out, since a shift by the transform wraps
    around. Whitening gives all frequencies about the same weight, which makes the peak of a correlation sharp, so that
    it tells the same picture from a similar one (phase correlation; Kuglin and Hines 1975).

    Args:
        pictures: (..., S, S).
        coarse: standard deviation of the blur in pixels.
        whiten: whether to weigh frequencies evenly.

    Returns:
        (..., S, S // 2 + 1) complex64.
    """
    pictures = pictures.astype(np.float32)
    side = pictures.shape[-1]
    blur = (0,) * (pictures.ndim - 2) + (coarse, coarse)
    fade = np.sqrt(np.hanning(side + 2)[1:-1]).astype(np.float32)
    spectrum = fft.rfft2((pictures - ndimage.gaussian_filter(pictures, blur)) * fade[:, None] * fade)
    if whiten:
        size = np.abs(spectrum)
        spectrum = spectrum / (size + _EVEN * size.mean(axis=(-2, -1), keepdims=True) + 1e-12)
    energy = (fft.irfft2(spectrum, s=(side, side)) ** 2).sum(axis=(-2, -1), keepdims=True)
    return (spectrum / np.sqrt(energy + 1e-12)).astype(np.complex64)


def correlations(spectrum: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Normalised correlation of a picture with others at every shift, (..., S, S), from their spectra."""
    side = others.shape[-2]
    return fft.irfft2(spectrum * np.conj(others), s=(side, side))


def rescaled(picture: np.ndarray, factor: float) -> np.ndarray:
    """A picture (S, S) enlarged about its centre by ``factor``; what is outside continues the edge."""
    centre = (picture.shape[-1] - 1) / 2
    return ndimage.affine_transform(
        picture.astype(np.float32), [1 / factor] * 2, offset=centre - centre / factor, order=1, mode="nearest"
    )
