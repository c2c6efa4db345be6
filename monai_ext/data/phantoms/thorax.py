"""A chest: lungs with vessels, bronchi and fissures, heart and great vessels, ribs, spine, and findings in the lung."""

from __future__ import annotations

import numpy as np

from monai_ext.data.phantoms.shapes import Blob, Patch, Plane, Texture, shell
from monai_ext.data.phantoms.skeleton import Ribs, Spine, paint_bone
from monai_ext.data.phantoms.trunk import TrunkWall, back_muscles, draw_back_muscles, draw_table, smoothstep
from monai_ext.data.phantoms.tubes import Tubes
from monai_ext.data.phantoms.vessels import vessel_tree

__all__ = ["Thorax"]


class Thorax:
    """One patient's chest, from the lung bases (z = -110 mm) to the apices (z = 110 mm).

    Args:
        rng: draws the patient: size, fat, contrast medium, texture of the lung, nodules and opacities.
    """

    z_range_mm = (-105.0, 105.0)

    def __init__(self, rng: np.random.Generator) -> None:
        self._wall = TrunkWall(
            rng,
            half_width_mm=rng.uniform(122, 142),
            half_depth_mm=rng.uniform(82, 98),
            wall_mm=rng.uniform(17, 23),
            fat_mm=rng.uniform(6, 26),
        )
        self.field_of_view_mm = rng.uniform(2.2, 2.45) * self._wall.half_width_outside_mm
        self._spine = Spine(rng, y_mm=0.52 * self._wall.half_depth_mm, width_mm=16, depth_mm=14, level_mm=25)
        self._ribs = Ribs(rng, spacing_mm=rng.uniform(24, 28), drop_mm=rng.uniform(95, 125), depth_mm=6.5)
        self._blood_hu = float(rng.choice([42, rng.uniform(140, 240)]))
        self._lung_hu = rng.uniform(-890, -820)
        self._gravity_hu = rng.uniform(30, 90)
        self._fine, self._coarse = Texture(rng, cell_mm=4.0), Texture(rng, cell_mm=22.0)
        self._fissure = rng.uniform(-12, 12, size=2)
        self._heart_size = rng.uniform(0.9, 1.12)
        self._domes_mm = rng.uniform(-62, -42), rng.uniform(-72, -52)
        self._breast_mm = float(rng.choice([0, rng.uniform(18, 42)]))
        self._trees = [tree for side in (-1, 1) for tree in self._grow_vessels(rng, side)]
        self._nodules = self._scatter(rng, count=int(rng.integers(1, 5)), radius_mm=(3, 13))
        self._opacities = self._scatter(rng, count=int(rng.choice([0, 0, 2, 5])), radius_mm=(16, 38))
        self._calcified = rng.uniform(size=len(self._nodules)) < 0.2

    @property
    def half_width_mm(self) -> float:
        """From the middle to the wall of the chest."""
        return self._wall.half_width_mm

    def draw(self, plane: Plane) -> None:
        """Paint one slice."""
        top, bottom = smoothstep(plane.z, 45, 125), smoothstep(-plane.z, 20, 110)
        cavity = self._wall.cavity(plane, width=1 - 0.34 * top + 0.03 * bottom, depth=1 - 0.22 * top + 0.05 * bottom)
        draw_table(plane, top_mm=self._wall.back_mm + 4, half_width_mm=200)
        muscles = self._muscles(top)
        back = back_muscles(self._spine, plane.z)
        covered = [muscle.patch(plane, grow=3 + 0.4 * self._wall.fat_mm) for muscle in (*muscles, *back)]
        inside, outside = self._wall.draw(plane, cavity, bulges=[*covered, *self._breasts(plane)])
        self._shoulders(plane, muscles, np.maximum(4 - inside, outside + 4))
        self._lungs(plane, inside)
        self._ribs.draw(plane, cavity, inside)
        self._mediastinum(plane, inside)
        self._abdomen(plane, inside)
        draw_back_muscles(plane, back, self._fine)
        self._spine.draw(plane)
        self._sternum(plane, cavity)

    def _grow_vessels(self, rng: np.random.Generator, side: int) -> list[Tubes]:
        width, depth = self._wall.half_width_mm, self._wall.half_depth_mm

        def inside(points: np.ndarray) -> np.ndarray:
            across, down = (points[:, 0] - side * 0.5 * width) / (0.47 * width), points[:, 1] / (0.9 * depth)
            return (across**2 + down**2 < 1) & (np.abs(points[:, 2]) < 112)

        ends = rng.uniform((0.45, -0.75, -95), (0.95, 0.8, 95), size=(18, 3)) * (side * width, depth, 1)
        hila = (((side * 34, 2, 8), ends[:10], 4.6), ((side * 28, 8, -12), ends[10:], 4.2))
        return [
            vessel_tree(rng, root=root, targets=targets, radius_mm=radius, generations=7, inside=inside)
            for root, targets, radius in hila
        ]

    def _scatter(
        self,
        rng: np.random.Generator,
        *,
        count: int,
        radius_mm: tuple[float, float],
        height_mm: tuple[float, float] = (-70, 80),
    ) -> list[Blob]:
        blobs = []
        for _ in range(count):
            side, radius = rng.choice([-1, 1]), rng.uniform(*radius_mm)
            center = (
                side * rng.uniform(0.42, 0.88) * self._wall.half_width_mm,
                rng.uniform(-50, 55),
                rng.uniform(*height_mm),
            )
            lobes = [(k, rng.uniform(0.02, 0.14), rng.uniform(0, 6), rng.uniform(-0.05, 0.05)) for k in (2, 3, 5, 7)]
            blobs.append(Blob(center, (radius, radius * rng.uniform(0.7, 1.2), radius), lobes=lobes))
        return blobs

    def _breasts(self, plane: Plane, *, grow: float = 0.0) -> list[Patch | None]:
        front = -self._wall.half_depth_mm - self._wall.wall_mm
        axes = 64, 0.55 * self._breast_mm + 18, 70
        solids = [Blob((side * 78, front + 6, -25), axes, angle=side * 0.3, flatness=3) for side in (-1, 1)]
        return [solid.patch(plane, grow=grow) for solid in solids] if self._breast_mm else []

    def _muscles(self, top: float) -> list[Blob]:
        """Pectoral muscles, those at the side and at the back."""
        width, depth = self._wall.half_width_mm, self._wall.half_depth_mm
        return [
            muscle
            for side in (-1, 1)
            for muscle in (
                Blob((side * 0.6 * width, -depth - 10, 55), (58, 13 + 8 * top, 75), angle=side * 0.42),
                Blob((side * 0.9 * width, depth * 0.55, 30), (26 + 12 * top, 34, 130), angle=side * 0.75),
                Blob((side * 0.42 * width, depth + 14, 90), (58, 12 + 8 * top, 110), angle=-side * 0.2),
            )
        ]

    def _shoulders(self, plane: Plane, muscles: list[Blob], outer: np.ndarray) -> None:
        """The muscles with fat between them, shoulder blades and, high up, the collar bones."""
        width, depth = self._wall.half_width_mm, self._wall.half_depth_mm
        gland = 20 * np.abs(self._coarse.on(plane)) - 8
        for breast in self._breasts(plane, grow=-10):
            if breast is not None:
                plane.paint(
                    Patch(breast.box, breast.distance + gland[breast.box]), 25 + 20 * self._fine.on(plane), strength=0.6
                )
        for muscle in muscles:
            plane.paint(muscle.patch(plane, grow=2), -95, within=outer)
            plane.paint(muscle.patch(plane), 57 + 8 * self._fine.on(plane), within=outer)
        for side in (-1, 1):
            blade = Blob(
                (side * 0.8 * width, depth * 0.84, 70), (40, 4.2, 75), angle=-side * 0.72, lean=(side * 0.12, -0.05)
            )
            paint_bone(plane, blade.patch(plane), cortex_mm=1.6, cortex_hu=720, marrow_hu=260)
            points = [(side * 22, -depth + 2, 92), (side * 60, -depth + 4, 102), (side * 115, -depth + 42, 118)]
            clavicle = Tubes.along(points, [9, 6.5, 7])
            clavicle.paint(plane, 740)
            clavicle.paint(plane, 280, grow=-2)

    def _lungs(self, plane: Plane, inside: np.ndarray) -> None:
        fine, coarse = self._fine.on(plane), self._coarse.on(plane)
        gravity = self._gravity_hu * plane.y / self._wall.half_depth_mm
        lung = self._lung_hu + gravity + 14 * fine + 12 * coarse
        everywhere = plane.everywhere
        plane.paint(Patch(everywhere, inside), 35)
        plane.paint(Patch(everywhere, inside + 1.2), lung)
        slope = plane.y - 0.55 * plane.z - self._fissure[0] + 0.0025 * (np.abs(plane.x) - 70) ** 2
        plane.paint(Patch(everywhere, np.maximum(np.abs(slope) - 0.7, inside + 1.2)), -690, strength=0.7)
        for opacity in self._opacities:
            patch = opacity.patch(plane)
            if patch is not None:
                veil = Patch(patch.box, patch.distance + (5 * fine + 7 * coarse)[patch.box])
                plane.paint(veil, -420 + 90 * fine + 120 * coarse, within=inside + 2, strength=0.75)
        for tree in self._trees:
            tree.paint(plane, min(self._blood_hu, 160), within=inside + 1.5)
        for nodule, calcified in zip(self._nodules, self._calcified, strict=True):
            plane.paint(nodule.patch(plane), 380 if calcified else 35 + 10 * fine, within=inside + 0.5)

    def _mediastinum(self, plane: Plane, inside: np.ndarray) -> None:
        """Fat between the lungs, heart, great vessels, windpipe and gullet."""
        z, depth = plane.z, self._wall.half_depth_mm
        fat = -98 + 8 * self._fine.on(plane)
        y = plane.y / depth
        width = (
            7 + 26 * np.exp(-(((y - 0.02) / 0.34) ** 2)) + 26 * np.clip(y - 0.15, 0, 0.6) + 10 * smoothstep(z, 60, 105)
        )
        band = Patch(plane.everywhere, np.maximum(np.abs(plane.x - 3) - width, inside + 0.5))
        plane.paint(Patch(band.box, band.distance - 1.2), 30, within=inside)
        plane.paint(band, fat)
        self._heart(plane, inside, fat)
        within = inside + 1
        arteries = [
            Tubes.along(
                [(-10, -18, -25), (-16, -30, 12), (-13, -30, 38), (0, -10, 58), (17, 16, 56), (24, 34, 36)], 14.5
            ),
            Tubes.along([(24, 34, 36), (24, 40, 0), (16, 44, -70), (10, 42, -130)], [12.5, 12, 11.5, 11]),
            Tubes.along([(14, -38, -22), (20, -28, 10), (22, -8, 22), (40, 6, 20)], [14, 14, 12, 9]),
            Tubes.along([(20, -22, 14), (-6, -4, 12), (-36, 0, 10)], [12, 10.5, 9]),
            Tubes.along([(-10, -20, 52), (-18, -14, 85), (-30, -12, 120)], [7, 6.5, 6]),
            Tubes.along([(3, -8, 58), (8, -2, 120)], 4.2),
            Tubes.along([(14, 8, 58), (22, 6, 85), (34, -2, 120)], 5.2),
            Tubes.along([(-34, -14, -22), (-34, -20, 40), (-30, -24, 75)], 9.5),
            Tubes.along([(-30, -24, 75), (-34, -24, 120)], 7.5),
            Tubes.along([(-30, -26, 62), (10, -36, 78), (34, -26, 110)], 6.5),
        ]
        for vessel in arteries:
            vessel.paint(plane, 40, grow=1.0, within=within)
        for vessel in arteries:
            vessel.paint(plane, self._blood_hu, grow=-0.3, within=within)
        Tubes.along([(6, 26, 130), (4, 28, 40), (8, 30, -60), (12, 18, -120)], 6.5).paint(plane, 38, within=within)
        Tubes.along([(6, 26, 130), (4, 28, 40), (8, 30, -60)], 2.0).paint(plane, -300, within=within)
        airways = [
            Tubes.along([(1, 2, 140), (1, 6, 40)], 9.0),
            Tubes.along([(1, 6, 40), (-34, 10, 10), (-46, 14, -25)], [7.5, 6.5, 4]),
            Tubes.along([(1, 6, 40), (38, 14, 6), (48, 20, -28)], [7, 6, 4]),
            Tubes.along([(-30, 8, 14), (-50, -4, 34)], [5, 3]),
            Tubes.along([(36, 12, 8), (54, -2, 30)], [5, 3]),
        ]
        for airway in airways:
            airway.paint(plane, 20, grow=1.4)
        for airway in airways:
            airway.paint(plane, -985)

    def _heart(self, plane: Plane, inside: np.ndarray, fat: np.ndarray) -> None:
        size, blood = self._heart_size, self._blood_hu
        muscle = 50 if blood < 100 else 105
        lobes = [(2, 0.05, 0.4, 0.004), (3, 0.04, 1.0, 0.003)]
        heart = Blob(
            (16, -22, -58), (70 * size, 52 * size, 58), angle=0.5, lobes=lobes, lean=(-0.12, -0.1), flatness=2.6
        )
        plane.paint(heart.patch(plane, grow=1.5), 25, within=inside + 0.5)
        plane.paint(heart.patch(plane), fat, within=inside + 1)
        plane.paint(heart.patch(plane, grow=-5), muscle + 4 * self._fine.on(plane), within=inside + 1)
        chambers = (
            Blob((46 * size, -20, -68), (26, 17, 36), angle=0.55),
            Blob((8, -48 * size, -66), (34, 15, 36), angle=0.45),
            Blob((-30 * size, -18, -58), (20, 26, 36), angle=0.2),
            Blob((6, 10, -38), (32, 15, 24), angle=0.05),
        )
        for chamber in chambers:
            plane.paint(chamber.patch(plane), blood)

    def _abdomen(self, plane: Plane, inside: np.ndarray) -> None:
        """Liver, spleen and stomach under the diaphragm."""
        width, within = self._wall.half_width_mm, inside + 2
        contrast = 45 if self._blood_hu > 100 else 0
        right = Blob(
            (-0.46 * width, -4, -150),
            (0.58 * width, 86, 150 + self._domes_mm[0]),
            lobes=[(2, 0.05, 2, 0.02), (3, 0.05, 1, 0.01)],
        )
        left = Blob((0.58 * width, 4, -150), (0.42 * width, 78, 138 + self._domes_mm[1]), lobes=[(3, 0.04, 2, 0.01)])
        plane.paint(left.patch(plane), -95 + 8 * self._fine.on(plane), within=within)
        plane.paint(shell(left.patch(plane), 2.5), 50, within=within)
        plane.paint(
            Blob((0.66 * width, 34, -140), (24, 46, 60), angle=-0.45).patch(plane), 52 + contrast, within=within
        )
        stomach = Blob((0.38 * width, -26, -140), (44, 36, 70), lobes=[(2, 0.1, 0, 0.02)])
        plane.paint(stomach.patch(plane), 42, within=within)
        plane.paint(stomach.patch(plane, grow=-5), np.where(plane.y < -36, -980.0, 12.0), within=within)
        plane.paint(right.patch(plane), 58 + contrast + 3 * self._fine.on(plane), within=within)
        if plane.z < self._domes_mm[0] - 8:
            inferior = Blob((-24, 14, plane.z), (13, 10, np.inf))
            plane.paint(inferior.patch(plane), self._blood_hu if contrast == 0 else 120, within=within)

    def _sternum(self, plane: Plane, cavity: Blob) -> None:
        front = -cavity.axes[1] - 6
        bone = Blob((0, front, 10), (18 + 5 * smoothstep(plane.z, 50, 90), 6.5, 95), flatness=6)
        paint_bone(plane, bone.patch(plane), cortex_mm=1.4, cortex_hu=520, marrow_hu=140 + 30 * self._fine.on(plane))
