"""What a scanner adds to anatomy: the reconstruction kernel's sharpness and grain, noise that depends on the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

__all__ = ["KERNELS", "Kernel", "acquire"]


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel.

    Args:
        blur_pixels: standard deviation of the point spread in pixels.
        edge: overshoot at edges, as a fraction of the removed blur.
        noise_hu: standard deviation of the noise in the middle of a body of average size.
        grain: frequency at which the noise is strongest, as a fraction of Nyquist: low is coarse, high is fine.
    """

    blur_pixels: float
    edge: float
    noise_hu: float
    grain: float


KERNELS: dict[str, Kernel] = {
    "SOFT": Kernel(blur_pixels=0.65, edge=0.0, noise_hu=9.0, grain=0.30),
    "STANDARD": Kernel(blur_pixels=0.5, edge=0.0, noise_hu=13.0, grain=0.42),
    "LUNG": Kernel(blur_pixels=0.35, edge=0.5, noise_hu=34.0, grain=0.75),
    "BONE": Kernel(blur_pixels=0.35, edge=0.8, noise_hu=42.0, grain=0.85),
}
"""Smooth and quiet to sharp and noisy; the values follow what chest and head protocols show at 256 x 256."""


def acquire(anatomy: np.ndarray, kernel: Kernel, rng: np.random.Generator, *, dose: float = 1.0) -> np.ndarray:
    """Turn ideal anatomy into a slice as a scanner would give it.

    Noise of filtered back-projection has a power spectrum that rises like a ramp and falls with the kernel; it is
    strongest where the rays cross most tissue, and elongated along the longest path through the body.

    Args:
        anatomy: (rows, columns) in HU.
        kernel: the reconstruction kernel.
        rng: source of the noise.
        dose: relative tube output; noise falls with its square root.

    Returns:
        int16 (rows, columns) in HU, within -1024 .. 3071.
    """
    smooth = ndimage.gaussian_filter(anatomy, kernel.blur_pixels, mode="nearest")
    sharp = smooth + kernel.edge * (smooth - ndimage.gaussian_filter(smooth, 1.0, mode="nearest"))
    level = kernel.noise_hu / np.sqrt(dose)
    noise = level * _grain(anatomy.shape, kernel.grain, rng) * _thickness(anatomy)
    return np.rint(np.clip(sharp + noise, -1024, 3071)).astype(np.int16)


def _grain(shape: tuple[int, ...], peak: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of standard deviation 1 with a ramp-times-kernel spectrum, streaked a little from side to side."""
    rows = fft.fftfreq(shape[0]).astype(np.float32)[:, None] * 2
    columns = fft.rfftfreq(shape[1]).astype(np.float32)[None, :] * 2
    frequency = np.hypot(rows, columns)
    amplitude = np.sqrt(frequency) * np.exp(-((frequency / peak) ** 2) / 2)
    amplitude *= 1 + 0.5 * rows**2 / (frequency**2 + 1e-6)
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    noise = fft.irfft2(white * amplitude, s=shape)
    return noise / noise.std()


def _thickness(anatomy: np.ndarray) -> np.ndarray:
    """How strong noise is at each pixel: 1 in the middle of an average body, less towards its edge and in air."""
    attenuation = np.clip(anatomy / 1000 + 1, 0, 2.5)
    across, down = attenuation.mean(axis=1, keepdims=True), attenuation.mean(axis=0, keepdims=True)
    local = ndimage.uniform_filter(attenuation, max(3, anatomy.shape[0] // 8), mode="nearest")
    return 0.25 + 0.75 * np.sqrt(across * down / 0.36 + 1e-3) * np.clip(0.5 + local, 0.5, 1.3)
