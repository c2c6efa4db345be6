"""A phantom patient scanned: one CT series of a body region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from monai_ext.data.phantoms.abdomen import Abdomen
from monai_ext.data.phantoms.acquisition import KERNELS, acquire
from monai_ext.data.phantoms.head import Head
from monai_ext.data.phantoms.shapes import Plane
from monai_ext.data.phantoms.thorax import Thorax

__all__ = ["REGIONS", "PhantomSeries", "phantom_series"]


class _Patient(Protocol):
    z_range_mm: tuple[float, float]
    field_of_view_mm: float

    def draw(self, plane: Plane) -> None: ...


@dataclass(frozen=True)
class _Protocol:
    """How a region is scanned: kernels in use, relative dose, distance of the slices."""

    patient: Callable[[np.random.Generator], _Patient]
    kernels: tuple[str, ...]
    dose: tuple[float, float]
    spacing_mm: float


REGIONS: dict[str, _Protocol] = {
    "thorax": _Protocol(Thorax, ("SOFT", "STANDARD", "LUNG"), (0.8, 2.5), 7.0),
    "abdomen": _Protocol(Abdomen, ("SOFT", "STANDARD"), (0.9, 2.5), 6.0),
    "head": _Protocol(Head, ("SOFT", "STANDARD", "BONE"), (5.0, 9.0), 5.0),
}
"""Body regions that can be made, with the protocol of their scan."""


@dataclass(frozen=True)
class PhantomSeries:
    """One series of parallel axial slices, feet first to last slice at the head's side.

    Args:
        hounsfield: (slices, rows, columns), int16, HU.
        region: key of :data:`REGIONS`.
        kernel: key of :data:`~monai_ext.data.phantoms.KERNELS`.
        pixel_spacing_mm: side of a pixel.
        slice_positions_mm: z of every slice, ascending by ``slice_spacing_mm``.
        slice_spacing_mm: distance of neighbouring slices.
        center_mm: x and y of the pictures' middle.
    """

    hounsfield: np.ndarray
    region: str
    kernel: str
    pixel_spacing_mm: float
    slice_positions_mm: tuple[float, ...]
    slice_spacing_mm: float
    center_mm: tuple[float, float]


def phantom_series(
    region: str, *, seed: int, slices: int = 16, size: int = 256, kernel: str | None = None
) -> PhantomSeries:
    """Make one patient and scan a part of the region.

    Anatomy is a function of (x, y, z) in mm, so neighbouring slices continue each other; the seed decides on the
    patient (size, fat, contrast medium, organs, findings), on where the scan begins, and on the noise.

    Args:
        region: ``"thorax"``, ``"abdomen"`` or ``"head"``.
        seed: the same seed gives the same series, pixel by pixel, on the same versions of NumPy and SciPy.
        slices: number of slices; as many as fit the region at its usual distance (about 20 to 30), beyond that closer.
        size: rows and columns.
        kernel: reconstruction kernel; drawn among those in use for the region when omitted.

    Raises:
        ValueError: an unknown region or kernel, no slice, or fewer than 16 pixels.

    Example:
        >>> phantom_series("head", seed=1, slices=2, size=32).hounsfield.shape
        (2, 32, 32)
    """
    if region not in REGIONS:
        raise ValueError(f"There is no phantom of {region!r}; the regions are {', '.join(REGIONS)}.")
    if kernel is not None and kernel not in KERNELS:
        raise ValueError(f"There is no reconstruction kernel {kernel!r}; the kernels are {', '.join(KERNELS)}.")
    if slices < 1 or size < 16:
        raise ValueError(f"A phantom has at least 1 slice of 16 x 16 pixels, but {slices} of {size} were asked for.")
    protocol = REGIONS[region]
    rng = np.random.default_rng([seed, sorted(REGIONS).index(region)])
    patient = protocol.patient(rng)
    usual = str(rng.choice(protocol.kernels))
    dose, center = rng.uniform(*protocol.dose), (float(rng.uniform(-8, 8)), float(rng.uniform(-6, 10)))
    low, high = patient.z_range_mm
    spacing = min(protocol.spacing_mm, (high - low) / slices)
    first = rng.uniform(low, high - spacing * (slices - 1))
    positions = tuple(float(first + spacing * number) for number in range(slices))
    pixel_mm = patient.field_of_view_mm / size

    def scan(z_mm: float) -> np.ndarray:
        plane = Plane(z_mm, size=size, pixel_mm=pixel_mm, center_mm=center)
        patient.draw(plane)
        return acquire(plane.hu, KERNELS[kernel or usual], rng, dose=dose)

    volume = np.stack([scan(position) for position in positions])
    return PhantomSeries(volume, region, kernel or usual, pixel_mm, positions, spacing, center)
