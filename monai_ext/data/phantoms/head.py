"""A head: scalp, skull, gray and white matter, cerebrospinal fluid, skull base, orbits, and bleeds in some."""

from __future__ import annotations

import numpy as np

from monai_ext.data.phantoms.shapes import Blob, Patch, Plane, Texture, merge
from monai_ext.data.phantoms.trunk import smoothstep
from monai_ext.data.phantoms.tubes import Tubes

__all__ = ["Head"]

_FLUID_HU, _GRAY_HU, _WHITE_HU = 7.0, 38.0, 29.0


class Head:
    """One patient's head, from the skull base (z = -45 mm) to the vertex (z = 72 mm).

    Args:
        rng: draws the patient: size, age (width of the fluid spaces), folding of the cortex, and bleeds.
    """

    z_range_mm = (-42.0, 70.0)

    def __init__(self, rng: np.random.Generator) -> None:
        self._half_width_mm, self._half_length_mm = rng.uniform(66, 73), rng.uniform(82, 92)
        self._skull_mm, self._scalp_mm = rng.uniform(6, 8.5), rng.uniform(4.5, 8)
        self.field_of_view_mm = rng.uniform(2.35, 2.6) * (self._half_length_mm + self._scalp_mm)
        self._age = rng.uniform(0, 1)
        self._folds, self._fine = Texture(rng, cell_mm=9.0), Texture(rng, cell_mm=4.0)
        self._coarse = Texture(rng, cell_mm=26.0)
        self._tilt = rng.uniform(-0.06, 0.06)
        self._shape = [(2, 0.015, 0, 0.0), (3, rng.uniform(0.01, 0.03), np.pi / 2, 0.0), (4, -0.012, 0, 0.0)]
        self._bleeds = self._draw_bleeds(rng)
        self._subdural = (
            (rng.choice([-1, 1]), rng.uniform(5, 11), rng.uniform(-0.9, 0.9)) if rng.uniform() < 0.3 else None
        )
        self._calcified = rng.uniform() < 0.7

    def draw(self, plane: Plane) -> None:
        """Paint one slice."""
        self._rest(plane)
        skull = Blob((0, 0, -18), (self._half_width_mm, self._half_length_mm, 98), lobes=self._shape, flatness=2.3)
        surface = skull.patch(plane, grow=self._scalp_mm, everywhere=True)
        outer, inner = skull.patch(plane, everywhere=True), skull.patch(plane, grow=-self._skull_mm, everywhere=True)
        if surface is None:
            return
        for bulge in self._face(plane):
            merge(surface.distance, bulge, round_mm=12)
        plane.paint(surface, 15)
        plane.paint(Patch(surface.box, surface.distance + 1.8), -70 + 60 * np.clip(self._coarse.on(plane), 0, 1))
        self._temporal_muscles(plane, outer)
        if outer is not None:
            plane.paint(outer, 1150)
            diploe = Patch(outer.box, np.abs(outer.distance + 0.5 * self._skull_mm) - 0.18 * self._skull_mm)
            plane.paint(diploe, 620 + 90 * self._fine.on(plane), strength=0.8)
        if inner is not None:
            self._brain(plane, inner.distance)
            self._base(plane, inner.distance)

    def _draw_bleeds(self, rng: np.random.Generator) -> list[Blob]:
        bleeds = []
        for _ in range(int(rng.choice([0, 0, 1, 2]))):
            center = rng.choice([-1, 1]) * rng.uniform(15, 42), rng.uniform(-45, 45), rng.uniform(5, 50)
            lobes = [(k, rng.uniform(0.03, 0.12), rng.uniform(0, 6), rng.uniform(-0.06, 0.06)) for k in (2, 3, 5)]
            bleeds.append(Blob(center, (rng.uniform(6, 18), rng.uniform(6, 15), rng.uniform(9, 18)), lobes=lobes))
        return bleeds

    def _face(self, plane: Plane) -> list[Patch | None]:
        """Lids and nose, in front of the skull."""
        front = -self._half_length_mm
        lids = [Blob((side * 31, front + 12, -42), (24, 22, 30)).patch(plane) for side in (-1, 1)]
        return [*lids, Blob((0, front - 4, -52), (11, 20, 26)).patch(plane)]

    def _rest(self, plane: Plane) -> None:
        """The head rest: a half shell of plastic with foam in it."""
        depth = self._half_length_mm + self._scalp_mm
        ring = np.hypot(plane.x, plane.y) - (depth + 16)
        lower = 26 - plane.y
        everywhere = plane.everywhere
        foam = np.maximum(np.maximum(ring, lower), -(ring + 12))
        plane.paint(Patch(everywhere, foam), -955)
        plane.paint(Patch(everywhere, np.maximum(np.maximum(ring - 3, -ring), lower)), -120)

    def _temporal_muscles(self, plane: Plane, outer: Patch | None) -> None:
        if outer is None or plane.z > 40:
            return
        for side in (-1, 1):
            muscle = Blob((side * self._half_width_mm, -28, -10), (11, 30, 48), angle=side * 0.2)
            plane.paint(muscle.patch(plane), 58, within=outer.distance - 0.7 * self._scalp_mm)

    def _brain(self, plane: Plane, inner: np.ndarray) -> None:
        """Fluid, then gray and white matter folded by one random field: its zeros are sulci, their banks are gray."""
        everywhere, fold, z = plane.everywhere, np.abs(self._folds.on(plane)), plane.z
        atrophy = 0.6 + 1.6 * self._age
        plane.paint(Patch(everywhere, inner), 30)
        plane.paint(Patch(everywhere, inner + 0.8), _FLUID_HU)
        surface = inner + 1.3 + 0.9 * atrophy
        depth = np.clip(-surface / 22, 0, 1)
        fissure = 1.1 + 0.9 * atrophy - np.abs(plane.x - 25 * self._tilt)
        sulcus = (0.22 * atrophy - 0.6 * depth - fold) * 7
        tissue = np.maximum(np.maximum(surface, sulcus), np.where(z > -8, fissure - 0.06 * np.abs(plane.y), -50))
        gray = _GRAY_HU + 1.2 * self._fine.on(plane)
        plane.paint(Patch(everywhere, tissue), gray)
        ribbon = np.maximum(np.maximum(tissue + 3.6, (0.68 + 0.1 * atrophy - 0.85 * depth - fold) * 7), surface + 3.5)
        white = _WHITE_HU - 3 * self._age * smoothstep(z, 0, 40) + 0.8 * self._coarse.on(plane)
        plane.paint(Patch(everywhere, ribbon), white)
        self._deep_gray(plane, gray)
        self._fluid_spaces(plane, inner)
        if z > -10:
            falx = Patch(everywhere, np.maximum(np.abs(plane.x - 25 * self._tilt) - 0.7, inner + 1))
            reach = 18 if z < 30 else 200
            plane.paint(
                Patch(everywhere, np.maximum(falx.distance, reach - np.abs(plane.y - 4) if z < 30 else -50)), 58
            )
        self._findings(plane, inner, surface)

    def _deep_gray(self, plane: Plane, gray: np.ndarray) -> None:
        for side in (-1, 1):
            nuclei = (
                Blob((side * 13, -22, 16), (5.5, 11, 20), angle=side * 0.25),
                Blob((side * 25, -8, 8), (8, 17, 14), angle=-side * 0.25),
                Blob((side * 11, 12, 10), (9.5, 14, 13), angle=-side * 0.35),
                Blob((side * 43, -6, 8), (4, 24, 16), angle=side * 0.05, lobes=[(7, 0.1, 0, 0)]),
            )
            for nucleus in nuclei:
                plane.paint(nucleus.patch(plane), gray + 1)

    def _fluid_spaces(self, plane: Plane, inner: np.ndarray) -> None:
        """Ventricles, Sylvian fissures and the cisterns around the brain stem."""
        wide = 0.75 + 0.7 * self._age
        solids = [
            Blob((0, 0, 6), (1.8 * wide, 15, 13)),
            Blob((0, 44, -28), (8 * wide, 5 * wide, 11)),
            Blob((0, 28, 2), (11, 4.5, 9), lobes=[(3, 0.2, np.pi / 2, 0)]),
            Blob((0, -2, -16), (15, 12, 10), lobes=[(5, 0.28, -np.pi / 2, 0)]),
        ]
        for side in (-1, 1):
            solids += [
                Blob((side * 10 * wide, -28, 18), (4.2 * wide, 17, 17), angle=-side * 0.42),
                Blob((side * 12 * wide, 2, 30), (4.8 * wide, 32, 11), angle=-side * 0.12, lobes=[(2, 0.1, 0, 0)]),
                Blob((side * 24, 34, 18), (6 * wide, 17, 15), angle=-side * 0.5),
                Blob((side * 33, 14, -10), (3 * wide, 12, 8), angle=-side * 0.3),
                Blob((side * 49, -10, 6), (10, 1.2 + 1.4 * wide, 22), angle=-side * 0.25, lobes=[(3, 0.15, 1, 0.03)]),
                Blob((side * 47, -14, 2), (1.3 + wide, 15, 18), angle=side * 0.15),
            ]
        for solid in solids:
            plane.paint(solid.patch(plane), _FLUID_HU, within=inner)
        if self._calcified:
            for side in (-1, 1):
                plane.paint(Blob((side * 24, 36, 17), (3, 4.5, 5), angle=side * 0.3).patch(plane), 190)
            plane.paint(Blob((0, 25, 5), (2.2, 2.2, 4)).patch(plane), 260)

    def _base(self, plane: Plane, inner: np.ndarray) -> None:
        """Cerebellum and brain stem, petrous and sphenoid bone with their air cells, orbits, nose."""
        z, fine = plane.z, self._fine.on(plane)
        if z > -4:
            return
        deep = smoothstep(-z, 4, 26)
        for side in (-1, 1):
            lobe = Blob((side * 26, 46, -32), (28, 26, 26))
            folia = 36 + 3.5 * np.sin(plane.y * 1.1 + 6 * self._coarse.on(plane) * 0.2)
            plane.paint(lobe.patch(plane, grow=2), _FLUID_HU, within=inner + 2)
            plane.paint(lobe.patch(plane), folia, within=inner + 3)
        plane.paint(Blob((0, 46, -30), (9, 18, 24)).patch(plane), 37, within=inner + 3)
        plane.paint(Blob((0, 18, -28), (15, 14, np.inf)).patch(plane, grow=2), _FLUID_HU, strength=deep)
        plane.paint(Blob((0, 18, -28), (13.5, 12.5, np.inf)).patch(plane), 32, strength=deep)
        plane.paint(Blob((0, 40, -30), (6, 4, 10)).patch(plane), _FLUID_HU)
        for side in (-1, 1):
            ridge = Tubes.along([(side * 64, 24, -30), (side * 40, 12, -27), (side * 16, -2, -28)], [13, 9, 6])
            ridge.paint(plane, 1100 + 160 * fine)
            cells = Blob((side * 60, 28, -38), (11, 15, 19))
            plane.paint(cells.patch(plane), np.where(fine > -0.35, -820.0, 500.0))
            wing = Tubes.along([(side * 62, -32, -18), (side * 36, -26, -14), (side * 14, -20, -16)], [3.5, 3, 3])
            wing.paint(plane, 900)
        plane.paint(Blob((0, -12, -34), (17, 16, 13)).patch(plane), 760 + 100 * fine)
        plane.paint(Blob((4, -16, -36), (11, 10, 9), lobes=[(2, 0.2, 0, 0)]).patch(plane), -960)
        self._orbits(plane)

    def _orbits(self, plane: Plane) -> None:
        front = -self._half_length_mm
        plane.paint(Blob((0, front + 30, -44), (14, 32, 30)).patch(plane), 420 + 200 * self._fine.on(plane))
        for side in (-1, 1):
            cells = Blob((side * 6.5, front + 30, -44), (5, 29, 26))
            septa = np.where(np.sin(plane.y * 0.55 + side) > 0.86, 250.0, -930.0)
            plane.paint(cells.patch(plane), septa)
            cone = Blob((side * 30, front + 32, -38), (17, 27, 20), angle=side * 0.35)
            plane.paint(cone.patch(plane, grow=2.5), 700)
            plane.paint(cone.patch(plane), -85)
            plane.paint(Blob((side * 27, front + 40, -38), (2.2, 20, 3), angle=side * 0.3).patch(plane), 35)
            plane.paint(Blob((side * 36, front + 36, -38), (2.4, 18, 7), angle=side * 0.42).patch(plane), 45)
            plane.paint(Blob((side * 20, front + 36, -38), (2.2, 18, 7), angle=side * 0.3).patch(plane), 45)
            globe = Blob((side * 33, front + 12, -38), (12, 12, 12))
            plane.paint(globe.patch(plane, grow=1.2), 50)
            plane.paint(globe.patch(plane), 14)
            plane.paint(Blob((side * 33, front + 3, -38), (4.5, 2.2, 4.5)).patch(plane), 85)
        sinus = Blob((0, front + 7, -22), (20, 5, 15), lobes=[(4, 0.15, 0, 0)])
        plane.paint(sinus.patch(plane, grow=2), 900)
        plane.paint(sinus.patch(plane), -970)

    def _findings(self, plane: Plane, inner: np.ndarray, surface: np.ndarray) -> None:
        for bleed in self._bleeds:
            plane.paint(bleed.patch(plane, grow=5), 21, within=surface + 2, strength=0.8)
            plane.paint(bleed.patch(plane), 66 + 3 * self._fine.on(plane), within=surface + 1)
        if self._subdural is not None:
            side, width, height = self._subdural
            along = np.arctan2(plane.y, side * plane.x) - height
            crescent = width * np.exp(-((along / 0.75) ** 2)) * smoothstep(60 - abs(plane.z - 25), 0, 40)
            patch = Patch(plane.everywhere, np.maximum(inner + 0.5, -inner - crescent))
            plane.paint(patch, 62 + 4 * self._coarse.on(plane), within=np.where(side * plane.x > 0, -50.0, 50.0))
