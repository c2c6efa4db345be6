"""Phantom patients with and without lesions: what is looked for, and what resembles it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from monai_ext.data.phantoms.head import Head
from monai_ext.data.phantoms.shapes import Blob, Plane
from monai_ext.data.phantoms.thorax import Thorax

__all__ = ["HeadWithFindings", "ThoraxWithFindings"]


class ThoraxWithFindings(Thorax):
    """A chest with ground glass and few solid lesions, or with solid lesions and little ground glass.

    Both kinds are in most chests, so that something to be seen decides nothing, and lesions change the whole picture
    less than size, contrast medium and kernel do, which differ from patient to patient.

    Args:
        rng: draws the patient.
        has_ground_glass: whether ground glass is what the chest has most of.
    """

    def __init__(self, rng: np.random.Generator, *, has_ground_glass: bool) -> None:
        super().__init__(rng)
        level_mm = float(rng.uniform(-40, 50))
        glass, solid = ((8, 15), (0, 4)) if has_ground_glass else ((0, 3), (6, 12))
        self._opacities = self._around(rng, level_mm, count=int(rng.integers(*glass)), radius_mm=(14, 28), reach_mm=20)
        small = self._around(rng, level_mm, count=int(rng.integers(1, 4)), radius_mm=(3, 7), reach_mm=40)
        large = self._around(rng, level_mm, count=int(rng.integers(*solid)), radius_mm=(5, 10), reach_mm=20)
        self._nodules = [*small, *large]
        self._calcified = rng.uniform(size=len(self._nodules)) < 0.1
        self.seen_mm = level_mm

    def _around(
        self, rng: np.random.Generator, level_mm: float, *, count: int, radius_mm: tuple[float, float], reach_mm: float
    ) -> list[Blob]:
        """Lesions anywhere in the lungs within this distance of a level."""
        heights = (level_mm - reach_mm, level_mm + reach_mm)
        return self._scatter(rng, count=count, radius_mm=radius_mm, height_mm=heights)

    @contextmanager
    def lesions_shown(self, shown: bool) -> Iterator[None]:
        """Draw the same patient with ground glass, or as it would be without, inside the context."""
        kept, self._opacities = self._opacities, self._opacities if shown else []
        try:
            yield
        finally:
            self._opacities = kept


class HeadWithFindings(Head):
    """A head with one or more bleeds and few bright vessels, or with many of these and no bleed.

    Vessels full of contrast medium are as bright as fresh blood, so that bright pixels alone do not decide; age, skull
    and calcifications differ in both.

    Args:
        rng: draws the patient.
        has_bleed: whether there is a bleed: in the brain, or in about a quarter under the dura.
    """

    def __init__(self, rng: np.random.Generator, *, has_bleed: bool) -> None:
        super().__init__(rng)
        self._calcified = rng.uniform() < 0.7
        self.seen_mm = float(rng.uniform(5, 45))
        lobes = [(k, rng.uniform(0.03, 0.12), rng.uniform(0, 6), rng.uniform(-0.06, 0.06)) for k in (2, 3, 5)]
        self._bleeds = [self._bleed(rng, lobes) for _ in range(int(rng.integers(2, 4)))] if has_bleed else []
        self._subdural = None
        if has_bleed and rng.uniform() < 0.25:
            self._bleeds = []
            self._subdural = rng.choice([-1, 1]), rng.uniform(7, 13), rng.uniform(-0.9, 0.9)
        count = int(rng.integers(2, 8) if has_bleed else rng.integers(14, 26))
        self._vessels = [self._vessel(rng) for _ in range(count)]

    def _bleed(self, rng: np.random.Generator, lobes: list[tuple[int, float, float, float]]) -> Blob:
        height = self.seen_mm + float(rng.uniform(-6, 6))
        center = float(rng.choice([-1, 1]) * rng.uniform(15, 42)), float(rng.uniform(-45, 45)), height
        return Blob(center, (rng.uniform(9, 16), rng.uniform(8, 13), rng.uniform(10, 18)), lobes=lobes)

    def _vessel(self, rng: np.random.Generator) -> Blob:
        """A vessel that runs up through the slices."""
        center = float(rng.uniform(-52, 52)), float(rng.uniform(-62, 62)), self.seen_mm
        return Blob(center, (rng.uniform(2.0, 3.4), rng.uniform(2.0, 3.4), 30.0))

    def _findings(self, plane: Plane, inner: np.ndarray, surface: np.ndarray) -> None:
        super()._findings(plane, inner, surface)
        for vessel in self._vessels:
            plane.paint(vessel.patch(plane), 68 + 3 * self._fine.on(plane), within=surface + 1)
