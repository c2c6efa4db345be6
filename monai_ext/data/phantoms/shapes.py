"""Soft-edged solids and textures that phantoms are painted with, one axial slice at a time.

Coordinates are the patient's, in mm, as in DICOM: x to the patient's left (the image's right), y to the back, z to the
head. Every solid is a function of (x, y, z), hence slices vary smoothly along z. Distances are signed, in mm, negative
inside; of blobs they are a first-order approximation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

__all__ = ["Blob", "Box", "Patch", "Plane", "Texture", "Values", "merge", "shell"]

Box: TypeAlias = tuple[slice, slice]
Values: TypeAlias = float | np.ndarray


class Patch(NamedTuple):
    """Signed distances (rows, columns) to a solid, in mm, on a part of the plane."""

    box: Box
    distance: np.ndarray


class Plane:
    """One axial slice that is being painted; ``hu`` (size, size) starts as air.

    Args:
        z_mm: position along the patient.
        size: rows and columns.
        pixel_mm: side of a pixel.
        center_mm: x and y of the picture's middle.
    """

    def __init__(self, z_mm: float, *, size: int, pixel_mm: float, center_mm: tuple[float, float] = (0.0, 0.0)) -> None:
        self.z = float(z_mm)
        self.size = size
        self.pixel_mm = pixel_mm
        self.center_mm = center_mm
        line = ((np.arange(size) - (size - 1) / 2) * pixel_mm).astype(np.float32)
        self.x, self.y = line[None, :] + np.float32(center_mm[0]), line[:, None] + np.float32(center_mm[1])
        self.hu = np.full((size, size), -1000, dtype=np.float32)

    @property
    def everywhere(self) -> Box:
        """The box of the whole plane."""
        return slice(0, self.size), slice(0, self.size)

    def box(self, x: float, y: float, reach_x: float, reach_y: float) -> Box:
        """The pixels within ``reach`` mm of (x, y), as slices; may be empty."""

        def cut(center: float, reach: float) -> slice:
            middle = (self.size - 1) / 2
            first = math.floor((center - reach) / self.pixel_mm + middle)
            last = math.ceil((center + reach) / self.pixel_mm + middle)
            return slice(min(max(first, 0), self.size), min(max(last + 1, 0), self.size))

        return cut(y - self.center_mm[1], reach_y), cut(x - self.center_mm[0], reach_x)

    def paint(
        self, patch: Patch | None, hu: Values, *, within: np.ndarray | None = None, strength: float = 1.0
    ) -> None:
        """Lay a material over what is there; edges are one pixel soft, as a detector sees them.

        Args:
            patch: the solid; nothing is painted where the slice misses it.
            hu: a number, or a texture that broadcasts to the whole plane.
            within: signed distances that broadcast to the whole plane, to a solid that the paint must stay in.
            strength: 1 covers what is below, less lets it shine through.
        """
        if patch is None:
            return
        distance = patch.distance
        if within is not None:
            distance = np.maximum(distance, np.broadcast_to(within, self.hu.shape)[patch.box])
        cover = np.clip(0.5 - distance / self.pixel_mm, 0, 1) * strength
        below = self.hu[patch.box]
        below += cover * (np.broadcast_to(hu, self.hu.shape)[patch.box] - below)


def merge(distance: np.ndarray, patch: Patch | None, *, round_mm: float) -> None:
    """Add a solid to ``distance`` (signed, whole plane) in place, the crease between them rounded."""
    if patch is None:
        return
    below = distance[patch.box]
    mix = np.clip(0.5 + 0.5 * (below - patch.distance) / round_mm, 0, 1)
    below += mix * (patch.distance - below) - round_mm * mix * (1 - mix)


def shell(patch: Patch | None, thickness_mm: float) -> Patch | None:
    """The rind of a solid, from its surface ``thickness_mm`` inward."""
    if patch is None:
        return None
    return Patch(patch.box, np.maximum(patch.distance, -patch.distance - thickness_mm))


@dataclass(frozen=True)
class Blob:
    """An ellipsoid whose outline may be lobed, turned in the axial plane, and leaning along z.

    Args:
        center: x, y, z of the middle in mm.
        axes: half lengths in mm along its own x and y, and along z (infinite for a column).
        angle: turn in the axial plane in radians.
        lean: how far x and y move per mm of z.
        lobes: per harmonic (number, amplitude, phase, twist per mm): waves of the outline relative to its radius.
        flatness: exponent of the profile along z: 2 is an ellipsoid, more keeps the width up to the ends.
    """

    center: tuple[float, float, float]
    axes: tuple[float, float, float]
    angle: float = 0.0
    lean: tuple[float, float] = (0.0, 0.0)
    lobes: Sequence[tuple[int, float, float, float]] = ()
    flatness: float = 2.0

    def patch(self, plane: Plane, *, grow: float = 0.0, everywhere: bool = False) -> Patch | None:
        """Signed distances around the solid, made larger by ``grow`` mm; None when the slice misses it.

        Only the pixels near it are computed, unless ``everywhere`` asks for the whole plane.
        """
        dz = plane.z - self.center[2]
        reach = (self.axes[2] + grow) if np.isfinite(self.axes[2]) else np.inf
        if abs(dz) >= reach:
            return None
        profile = (1 - (abs(dz) / reach) ** self.flatness) ** (1 / self.flatness)
        a, b = (max(1e-3, (axis + grow) * profile) for axis in self.axes[:2])
        x, y = self.center[0] + self.lean[0] * dz, self.center[1] + self.lean[1] * dz
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        margin, edge = 1 + sum(abs(lobe[1]) for lobe in self.lobes), 3 * plane.pixel_mm
        reach_x, reach_y = np.hypot(a * cos, b * sin) * margin + edge, np.hypot(a * sin, b * cos) * margin + edge
        box = plane.everywhere if everywhere else plane.box(x, y, reach_x, reach_y)
        dx, dy = plane.x[:, box[1]] - np.float32(x), plane.y[box[0]] - np.float32(y)
        u, v = dx * np.float32(cos) + dy * np.float32(sin), dy * np.float32(cos) - dx * np.float32(sin)
        return Patch(box, self._distance(u, v, np.float32(a), np.float32(b), dz))

    def _distance(self, u: np.ndarray, v: np.ndarray, a: np.float32, b: np.float32, dz: float) -> np.ndarray:
        un, vn = u / a, v / b
        rho = np.sqrt(un * un + vn * vn) + np.float32(1e-6)
        radius: np.ndarray | float = 1.0
        if self.lobes:
            angle = np.arctan2(vn, un)
            radius = 1 + sum(
                np.float32(amplitude) * np.cos(number * angle + np.float32(phase + twist * dz))
                for number, amplitude, phase, twist in self.lobes
            )
        slope = np.sqrt((un / a) ** 2 + (vn / b) ** 2) / rho
        return (rho - radius) / (slope + np.float32(1e-6))


class Texture:
    """A smooth random field of mean 0 and standard deviation 1 in three dimensions (cubic B-splines on a lattice).

    Args:
        rng: where the lattice is drawn from.
        cell_mm: size of the field's grains.
    """

    _CELLS = 48
    _DEVIATION = 0.332

    def __init__(self, rng: np.random.Generator, *, cell_mm: float) -> None:
        self._lattice = rng.standard_normal((16, self._CELLS, self._CELLS)).astype(np.float32) / self._DEVIATION
        self._cell_mm = cell_mm
        self._latest: tuple[Plane, np.ndarray] | None = None

    def on(self, plane: Plane) -> np.ndarray:
        """The field on a slice, (size, size), read-only: organs of a slice that ask for it again get the same."""
        if self._latest is None or self._latest[0] is not plane:
            layer = self._blend(self._lattice, np.array([plane.z], dtype=np.float32))[0]
            rows = self._blend(layer, plane.y[:, 0])
            field = np.ascontiguousarray(self._blend(rows.T, plane.x[0]).T)
            field.setflags(write=False)
            self._latest = plane, field
        return self._latest[1]

    def _blend(self, lattice: np.ndarray, position_mm: np.ndarray) -> np.ndarray:
        """Cubic B-spline interpolation along the first axis of a periodic lattice; (positions, ...)."""
        position = position_mm / self._cell_mm
        first = np.floor(position).astype(int)
        t = position - first
        weights = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
        shape = (-1,) + (1,) * (lattice.ndim - 1)
        taps = ((first + offset - 1) % len(lattice) for offset in range(4))
        blended = sum(lattice[tap] * (weight / 6).reshape(shape) for tap, weight in zip(taps, weights, strict=True))
        return np.asarray(blended, dtype=np.float32)
