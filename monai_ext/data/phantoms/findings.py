"""Phantom patients with and without lesions: what is looked for, and what resembles it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from monai_ext.data.phantoms.head import Head
from monai_ext.data.phantoms.shapes import Blob
from monai_ext.data.phantoms.thorax import Thorax

__all__ = ["HeadWithFindings", "ThoraxWithFindings"]


class ThoraxWithFindings(Thorax):
    """A chest with ground glass, or one with solid nodules and patches instead.

    Both kinds have nodules, so that something to be seen decides nothing, and lesions change the whole picture less
    than size, contrast medium and kernel do, which differ from patient to patient.

    Args:
        rng: draws the patient.
        has_ground_glass: whether there is ground glass.
    """

    def __init__(self, rng: np.random.Generator, *, has_ground_glass: bool) -> None:
        super().__init__(rng)
        self._nodules = self._scatter(rng, count=int(rng.integers(2, 5)), radius_mm=(3, 8))
        self._calcified = rng.uniform(size=len(self._nodules)) < 0.2
        glass = self._scatter(rng, count=int(rng.integers(4, 8)), radius_mm=(14, 28))
        solid = self._scatter(rng, count=int(rng.integers(1, 4)), radius_mm=(7, 13))
        self._opacities = glass if has_ground_glass else []
        self.seen_mm = [lesion.center[2] for lesion in (glass if has_ground_glass else [*self._nodules, *solid])]
        if not has_ground_glass:
            self._nodules = [*self._nodules, *solid]
            self._calcified = np.concatenate([self._calcified, np.zeros(len(solid), dtype=bool)])

    @contextmanager
    def lesions_shown(self, shown: bool) -> Iterator[None]:
        """Draw the same patient with ground glass, or as it would be without, inside the context."""
        kept, self._opacities = self._opacities, self._opacities if shown else []
        try:
            yield
        finally:
            self._opacities = kept


class HeadWithFindings(Head):
    """A head with a bleed, or one without; calcifications, age and skull differ in both.

    Args:
        rng: draws the patient.
        has_bleed: whether there is a bleed: in the brain, or in about a third under the dura.
    """

    def __init__(self, rng: np.random.Generator, *, has_bleed: bool) -> None:
        super().__init__(rng)
        self._calcified = rng.uniform() < 0.7
        centers = [
            (float(rng.choice([-1, 1]) * rng.uniform(15, 42)), float(rng.uniform(-45, 45)), float(rng.uniform(5, 48)))
            for _ in range(int(rng.integers(1, 3)))
        ]
        lobes = [(k, rng.uniform(0.03, 0.12), rng.uniform(0, 6), rng.uniform(-0.06, 0.06)) for k in (2, 3, 5)]
        sizes = rng.uniform((7, 7, 9), (17, 14, 18), size=(len(centers), 3))
        under_dura = rng.uniform() < 0.35
        crescent = (rng.choice([-1, 1]), rng.uniform(5, 11), rng.uniform(-0.9, 0.9))
        self._bleeds = []
        self._subdural = None
        self.seen_mm = [float(rng.uniform(5, 48)) for _ in centers]
        if has_bleed and under_dura:
            self._subdural = crescent
        elif has_bleed:
            axes = [(float(a), float(b), float(c)) for a, b, c in sizes]
            self._bleeds = [Blob(center, size, lobes=lobes) for center, size in zip(centers, axes, strict=True)]
            self.seen_mm = [center[2] for center in centers]
