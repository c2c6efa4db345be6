"""A pelvis: hip bones, femoral heads, sacrum, bladder, rectum, muscles and bowel."""

from __future__ import annotations

import numpy as np

from monai_ext.data.phantoms.shapes import Blob, Patch, Plane, Texture
from monai_ext.data.phantoms.skeleton import paint_bone
from monai_ext.data.phantoms.trunk import TrunkWall, draw_table
from monai_ext.data.phantoms.tubes import Tubes

__all__ = ["Pelvis"]


class Pelvis:
    """One patient's pelvis, from the lesser trochanters (z = -60 mm) to the iliac wings (z = 60 mm).

    Args:
        rng: draws the patient: size, fat, filling of the bladder, content of the bowel.

    Attributes:
        bladder_mm: middle of the bladder, (x, y, z).
        femur_mm: middle of the left femoral head, (x, y, z); the right one mirrors it.
    """

    z_range_mm = (-60.0, 60.0)

    def __init__(self, rng: np.random.Generator) -> None:
        self._wall = TrunkWall(
            rng,
            half_width_mm=rng.uniform(122, 142),
            half_depth_mm=rng.uniform(76, 94),
            wall_mm=rng.uniform(14, 22),
            fat_mm=rng.uniform(10, 34),
        )
        self.field_of_view_mm = rng.uniform(2.15, 2.4) * self._wall.half_width_outside_mm
        self._fine, self._coarse = Texture(rng, cell_mm=4.0), Texture(rng, cell_mm=18.0)
        filling = rng.uniform(0.55, 1.25)
        self._bladder_axes = (34 * filling, 26 * filling, 30 * filling)
        self.bladder_mm = (float(rng.uniform(-4, 4)), float(-30 + 8 * filling), float(rng.uniform(-6, 6)))
        self._urine_hu = rng.uniform(0, 14)
        self._head_mm = rng.uniform(21, 26)
        self.femur_mm = (0.68 * self._wall.half_width_mm, float(rng.uniform(2, 10)), float(rng.uniform(-8, 4)))
        self._rectum_mm = rng.uniform(13, 20)
        self._has_gas = bool(rng.uniform() < 0.4)
        self._marrow_hu = rng.uniform(180, 320)

    def draw(self, plane: Plane) -> None:
        """Paint one slice."""
        cavity = self._wall.cavity(plane)
        draw_table(plane, top_mm=self._wall.back_mm + 4, half_width_mm=205)
        inside, _ = self._wall.draw(plane, cavity)
        plane.paint(Patch(plane.everywhere, inside), -102 + 9 * self._fine.on(plane) + 6 * self._coarse.on(plane))
        self._muscles(plane)
        self._bones(plane)
        self._organs(plane, inside)

    def _muscles(self, plane: Plane) -> None:
        hu = 56 + 8 * self._fine.on(plane)
        x, y, _ = self.femur_mm
        for side in (-1, 1):
            for center, axes, angle in (
                ((side * 0.52 * x, y - 26, plane.z), (24, 20, np.inf), side * 0.4),
                ((side * 0.72 * x, y + 58, plane.z), (52, 22, np.inf), -side * 0.5),
                ((side * 1.28 * x, y + 6, plane.z), (15, 34, np.inf), side * 0.2),
            ):
                plane.paint(Blob(center, axes, angle=angle).patch(plane), hu)

    def _bones(self, plane: Plane) -> None:
        x, y, z = self.femur_mm
        marrow = self._marrow_hu + 40 * self._fine.on(plane)
        sacrum = Blob((0, 0.62 * self._wall.half_depth_mm, 34), (44, 15, 52), lobes=[(3, 0.12, 1.6, 0.0)])
        paint_bone(plane, sacrum.patch(plane), cortex_mm=1.6, cortex_hu=560, marrow_hu=marrow)
        for side in (-1, 1):
            wing = Blob((side * 0.88 * x, y - 4, 50), (9, 44, 46), angle=side * 0.55, lean=(side * 0.22, -0.1))
            paint_bone(plane, wing.patch(plane), cortex_mm=2.0, cortex_hu=760, marrow_hu=marrow)
            socket = Blob((side * 0.86 * x, y + 2, z + 4), (30, 33, 34))
            paint_bone(plane, socket.patch(plane), cortex_mm=2.2, cortex_hu=780, marrow_hu=marrow)
            space = Blob((side * (x + 6), y, z - 2), (self._head_mm + 4,) * 3)
            plane.paint(space.patch(plane), 30)
            head = Blob((side * (x + 6), y, z - 2), (self._head_mm,) * 3)
            paint_bone(plane, head.patch(plane), cortex_mm=2.0, cortex_hu=820, marrow_hu=marrow + 90)
            neck = [
                (side * (x + 14), y + 2, z - 12),
                (side * (x + 40), y + 8, z - 34),
                (side * (x + 44), y + 10, z - 90),
            ]
            tube = Tubes.along(neck, [15, 17, 14])
            tube.paint(plane, 860)
            tube.paint(plane, marrow, grow=-3.5)
            pubis = Tubes.along(
                [(side * 0.7 * x, y - 18, z - 22), (side * 9, -0.62 * self._wall.half_depth_mm, z - 34)], 9
            )
            pubis.paint(plane, 640)
            pubis.paint(plane, marrow, grow=-2.5)

    def _organs(self, plane: Plane, inside: np.ndarray) -> None:
        within = inside + 3
        bladder = Blob(self.bladder_mm, self._bladder_axes, lobes=[(2, 0.06, 0.4, 0.004), (3, 0.04, 1.0, 0.006)])
        plane.paint(bladder.patch(plane, grow=3), 42, within=within)
        plane.paint(bladder.patch(plane), self._urine_hu, within=within)
        back = 0.42 * self._wall.half_depth_mm
        rectum = Tubes.along([(0, back, -80), (2, back + 4, 0), (-6, back - 6, 50)], self._rectum_mm)
        rectum.paint(plane, 44, within=within)
        stool = 25 + 30 * self._coarse.on(plane)
        rectum.paint(plane, np.where(plane.y < back - 4, -950.0, stool) if self._has_gas else stool, grow=-4)
        for side in (-1, 1):
            vessel = Tubes.along([(side * 48, -22, 80), (side * 58, -34, 0), (side * 62, -46, -80)], [7, 7, 6])
            vessel.paint(plane, 48, within=within)
