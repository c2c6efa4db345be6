"""Spine and ribs, shared by the phantoms of the trunk."""

from __future__ import annotations

import numpy as np

from monai_ext.data.phantoms.shapes import Blob, Patch, Plane, Texture, Values

__all__ = ["Ribs", "Spine", "paint_bone"]


def paint_bone(plane: Plane, patch: Patch | None, *, cortex_mm: float, cortex_hu: float, marrow_hu: Values) -> None:
    """Paint compact bone with marrow inside."""
    if patch is not None:
        plane.paint(patch, cortex_hu)
        plane.paint(Patch(patch.box, patch.distance + cortex_mm), marrow_hu)


def _bump(phase: float, center: float, width: float) -> float:
    """1 at ``center``, falling smoothly to 0 at ``width`` away; phases are periodic with period 1."""
    away = abs((phase - center + 0.5) % 1 - 0.5) / width
    return float(np.clip(1.5 - 1.5 * away, 0, 1))


class Spine:
    """Vertebral bodies and discs in turn, with canal, cord, arches and processes.

    Args:
        rng: source of this patient's shape.
        y_mm: middle of the vertebral bodies.
        width_mm, depth_mm: half axes of a vertebral body.
        level_mm: height of one vertebra with its disc.
    """

    def __init__(
        self, rng: np.random.Generator, *, y_mm: float, width_mm: float, depth_mm: float, level_mm: float
    ) -> None:
        self.y_mm, self.width_mm, self.depth_mm, self.level_mm = y_mm, width_mm, depth_mm, level_mm
        self._first_mm = rng.uniform(0, level_mm)
        self._curve = rng.uniform(-3, 3), rng.uniform(4, 9)
        self._marrow_hu = rng.uniform(130, 260)
        self._texture = Texture(rng, cell_mm=3.0)

    def center(self, z_mm: float) -> tuple[float, float]:
        """x and y of the vertebral bodies' middle at a height."""
        return self._curve[0] * np.sin(z_mm / 90), self.y_mm + self._curve[1] * np.cos(z_mm / 110 + 0.4)

    def draw(self, plane: Plane) -> None:
        """Paint the spine of one slice, from the arches to the cord."""
        x, y = self.center(plane.z)
        phase = ((plane.z - self._first_mm) / self.level_mm) % 1
        marrow = self._marrow_hu + 35 * self._texture.on(plane)
        self._processes(plane, x, y, phase, marrow)
        self._body(plane, x, y, phase, marrow)
        self._canal(plane, x, y)

    def _body(self, plane: Plane, x: float, y: float, phase: float, marrow: np.ndarray) -> None:
        outline = [(3, 0.05, -np.pi / 2, 0.0), (2, 0.03, 0.0, 0.0)]
        waist = 1 - 0.06 * _bump(phase, 0.5, 0.35)
        body = Blob((x, y, plane.z), (self.width_mm * waist, self.depth_mm * waist, np.inf), lobes=outline)
        bone = _bump(phase, 0.5, 0.6)
        plane.paint(body.patch(plane), 80)
        patch = body.patch(plane)
        if patch is None:
            return
        end_plate = 260 * _bump(phase, 0.08, 0.12) + 260 * _bump(phase, 0.92, 0.12)
        plane.paint(patch, 520 + end_plate, strength=bone)
        plane.paint(Patch(patch.box, patch.distance + 1.8), marrow + end_plate, strength=bone)

    def _processes(self, plane: Plane, x: float, y: float, phase: float, marrow: np.ndarray) -> None:
        back = y + self.depth_mm
        arch = Blob((x, back + 8, plane.z), (15, 13, np.inf))
        strength = max(_bump(phase, 0.6, 0.35), _bump(phase, 0.3, 0.3))
        for grow, hu in ((0.0, 620.0), (-1.8, marrow + 80)):
            plane.paint(arch.patch(plane, grow=grow), hu, strength=strength)
            for side in (-1, 1):
                lateral = _bump(phase, 0.65, 0.3)
                process = Blob((x + side * 24, back + 9, plane.z), (15, 5, np.inf), angle=side * 0.35)
                plane.paint(process.patch(plane, grow=grow), hu, strength=lateral)
            spinous = Blob((x, back + 30, plane.z), (4.0, 14, np.inf), lobes=[(3, 0.15, np.pi / 2, 0)])
            plane.paint(spinous.patch(plane, grow=grow), hu, strength=_bump(phase, 0.25, 0.45))

    def _canal(self, plane: Plane, x: float, y: float) -> None:
        middle = y + self.depth_mm + 8.5
        plane.paint(Blob((x, middle, plane.z), (10.5, 8.5, np.inf)).patch(plane), -40)
        plane.paint(Blob((x, middle, plane.z), (8.5, 7, np.inf)).patch(plane), 12)
        plane.paint(Blob((x, middle, plane.z), (5, 4, np.inf)).patch(plane), 38)


class Ribs:
    """Ribs that run around the chest wall and slope down to the front, all of them as one periodic function.

    Args:
        rng: source of this patient's shape.
        spacing_mm: distance of neighbouring ribs along z.
        drop_mm: how far a rib descends from the spine to the front.
        depth_mm: distance of the ribs' middle from the inside of the chest wall.
    """

    def __init__(self, rng: np.random.Generator, *, spacing_mm: float, drop_mm: float, depth_mm: float) -> None:
        self._spacing_mm, self._drop_mm, self._depth_mm = spacing_mm, drop_mm, depth_mm
        self._first_mm = rng.uniform(0, spacing_mm)
        self._texture = Texture(rng, cell_mm=4.0)

    def draw(self, plane: Plane, chest: Blob, inside: np.ndarray) -> None:
        """Paint the ribs of one slice.

        Args:
            plane: the slice.
            chest: the inside of the chest wall, for its middle and axes.
            inside: signed distances to ``chest`` over the whole plane.
        """
        side = np.abs(plane.x - np.float32(chest.center[0])) / np.float32(chest.axes[0])
        angle = np.arctan2(side, (plane.y - np.float32(chest.center[1])) / np.float32(chest.axes[1]))
        height = plane.z + self._drop_mm * (1 - np.cos(angle)) / 2 - self._first_mm
        off = (height / self._spacing_mm + 0.5) % 1 - 0.5
        across = (inside - self._depth_mm) / 4.2
        along = off * self._spacing_mm / 6.0
        distance = (np.sqrt(across**2 + along**2) - 1) * 4.2
        distance = np.maximum(distance, (0.18 - angle) * 100)
        front = np.clip((angle - 2.25) * 4, 0, 1)
        cortex, marrow = 780 - 640 * front, 230 + 60 * self._texture.on(plane) - 130 * front
        box = plane.everywhere
        plane.paint(Patch(box, np.maximum(distance, (angle - 2.85) * 100)), cortex)
        plane.paint(Patch(box, np.maximum(distance + 1.5, (angle - 2.85) * 100)), marrow)
