"""The wall of the trunk (skin, fat, muscle) and the patient table, shared by thorax and abdomen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_ext.data.phantoms.shapes import Blob, Patch, Plane, Texture, merge
from monai_ext.data.phantoms.skeleton import Spine

__all__ = ["TrunkWall", "back_muscles", "draw_back_muscles", "draw_table", "smoothstep"]


def smoothstep(value: float, low: float, high: float) -> float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = float(np.clip((value - low) / (high - low), 0, 1))
    return t * t * (3 - 2 * t)


class TrunkWall:
    """Skin, subcutaneous fat and the muscular wall around a cavity.

    Args:
        rng: source of this patient's shape.
        half_width_mm, half_depth_mm: of the cavity at its widest.
        wall_mm: thickness of the muscular wall.
        fat_mm: thickness of the fat under the skin, at the side; more in front.
    """

    def __init__(
        self, rng: np.random.Generator, *, half_width_mm: float, half_depth_mm: float, wall_mm: float, fat_mm: float
    ) -> None:
        self.half_width_mm, self.half_depth_mm = half_width_mm, half_depth_mm
        self.wall_mm, self.fat_mm = wall_mm, fat_mm
        self._squareness = rng.uniform(0.015, 0.04)
        self._uneven = [(3, rng.uniform(-0.015, 0.015), rng.uniform(0, 6), 0.004), (5, 0.006, rng.uniform(0, 6), 0.006)]
        self._fat = Texture(rng, cell_mm=9.0)
        self._muscle = Texture(rng, cell_mm=6.0)

    @property
    def half_width_outside_mm(self) -> float:
        """From the middle to the skin at the side."""
        return self.half_width_mm + self.wall_mm + self.fat_mm

    @property
    def back_mm(self) -> float:
        """y of the skin at the back."""
        return self.half_depth_mm + self.wall_mm + 0.55 * self.fat_mm

    def cavity(self, plane: Plane, *, width: float = 1.0, depth: float = 1.0) -> Blob:
        """The cavity at this slice, scaled by ``width`` and ``depth``."""
        axes = self.half_width_mm * width, self.half_depth_mm * depth, np.inf
        return Blob((0, 0, plane.z), axes, lobes=[(4, -self._squareness, 0, 0), *self._uneven])

    def draw(self, plane: Plane, cavity: Blob, *, bulges: Sequence[Patch | None] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Paint everything from the skin to the cavity's surface.

        Args:
            plane: the slice.
            cavity: as :meth:`cavity` gave it.
            bulges: what lifts the skin besides, such as muscles with the fat over them.

        Returns:
            Signed distances over the whole plane to the cavity and to the skin.
        """
        inside, outside = (_whole(plane, solid) for solid in (cavity, self._outline(plane)))
        for bulge in bulges:
            merge(outside.distance, bulge, round_mm=14)
        box = plane.everywhere
        fat = -104 + 7 * self._fat.on(plane)
        plane.paint(outside, 10.0)
        plane.paint(Patch(box, outside.distance + 2.2), fat)
        strands = self._muscle.on(plane)
        muscle = 55 + 6 * strands - 110 * np.clip(strands - 1.5, 0, 0.8)
        plane.paint(Patch(box, np.maximum(inside.distance - self.wall_mm, outside.distance + 4)), muscle)
        groove = np.abs(inside.distance - 0.62 * self.wall_mm) - 0.9 - 0.8 * strands
        plane.paint(Patch(box, np.maximum(groove, outside.distance + 4)), fat, strength=0.6)
        return inside.distance, outside.distance

    def _outline(self, plane: Plane) -> Blob:
        """The skin: the widest cavity enlarged by wall and fat, thicker in front than at the back."""
        width = self.half_width_mm + self.wall_mm + self.fat_mm
        depth = self.half_depth_mm + self.wall_mm + 0.85 * self.fat_mm
        shape = [(4, -self._squareness, 0, 0), *self._uneven]
        return Blob((0, -0.3 * self.fat_mm, plane.z), (width, depth, np.inf), lobes=shape)


def _whole(plane: Plane, solid: Blob) -> Patch:
    patch = solid.patch(plane, everywhere=True)
    if patch is None:
        raise ValueError("A trunk has no end along z, but this solid does not reach the slice.")
    return patch


def back_muscles(spine: Spine, z_mm: float) -> list[Blob]:
    """The two erector muscles beside the spine's arches."""
    x, y = spine.center(z_mm)
    return [Blob((x + side * 26, y + 36, z_mm), (23, 13, np.inf), angle=side * 0.2) for side in (-1, 1)]


def draw_back_muscles(plane: Plane, muscles: Sequence[Blob], texture: Texture) -> None:
    """Paint the erector muscles, streaked with fat."""
    for muscle in muscles:
        plane.paint(muscle.patch(plane), 52 + 14 * np.clip(texture.on(plane), -2, 1))


def draw_table(plane: Plane, *, top_mm: float, half_width_mm: float) -> None:
    """Paint the table: a shallow trough of carbon fibre filled with foam, its lowest point at ``top_mm``."""
    trough = 900 - np.sqrt(900**2 - np.clip(plane.x, -880, 880) ** 2)
    lip = np.abs(plane.x) - half_width_mm
    for inset, hu in ((0.0, -250.0), (2.0, -930.0)):
        upper = top_mm - trough - plane.y + inset
        lower = plane.y - (top_mm + 24 - 1.6 * trough) + inset
        plane.paint(Patch(plane.everywhere, np.maximum(np.maximum(upper, lower), lip + inset)), hu)
