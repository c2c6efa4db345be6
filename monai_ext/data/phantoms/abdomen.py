"""An abdomen: liver, spleen, kidneys, pancreas, bowel with gas and content, great vessels, muscles and spine."""

from __future__ import annotations

import numpy as np

from monai_ext.data.phantoms.shapes import Blob, Patch, Plane, Texture
from monai_ext.data.phantoms.skeleton import Ribs, Spine
from monai_ext.data.phantoms.trunk import TrunkWall, back_muscles, draw_back_muscles, draw_table, smoothstep
from monai_ext.data.phantoms.tubes import Tubes
from monai_ext.data.phantoms.vessels import vessel_tree

__all__ = ["Abdomen"]


class Abdomen:
    """One patient's abdomen, from the kidneys' lower poles (z = -85 mm) to the liver's dome (z = 75 mm).

    Args:
        rng: draws the patient: size, fat, contrast medium and its phase, shapes of organs and bowel, lesions.
    """

    z_range_mm = (-85.0, 72.0)

    def __init__(self, rng: np.random.Generator) -> None:
        self._wall = TrunkWall(
            rng,
            half_width_mm=rng.uniform(120, 145),
            half_depth_mm=rng.uniform(78, 102),
            wall_mm=rng.uniform(11, 17),
            fat_mm=rng.uniform(10, 38),
        )
        self.field_of_view_mm = rng.uniform(2.12, 2.35) * self._wall.half_width_outside_mm
        self._spine = Spine(rng, y_mm=0.42 * self._wall.half_depth_mm, width_mm=22, depth_mm=16, level_mm=36)
        self._ribs = Ribs(rng, spacing_mm=rng.uniform(25, 29), drop_mm=rng.uniform(100, 120), depth_mm=5.5)
        self._fine, self._coarse = Texture(rng, cell_mm=4.0), Texture(rng, cell_mm=16.0)
        self._enhanced = float(rng.choice([0.0, rng.uniform(0.4, 1.0)]))
        self._blood_hu = 42 + 130 * self._enhanced
        self._liver_hu = rng.choice([rng.uniform(52, 66), rng.uniform(20, 45)], p=[0.75, 0.25]) + 52 * self._enhanced
        self._liver = self._make_liver(rng)
        self._liver_vessels = self._grow_liver_vessels(rng)
        self._lesions = self._scatter_lesions(rng)
        self._kidney_z = rng.uniform(-22, 2, size=2)
        self._stones = rng.uniform(size=2) < 0.25
        self._bowel = [self._wind_bowel(rng) for _ in range(15)]
        self._contents = [(rng.uniform(5, 45), rng.uniform(size=1)[0] < 0.4) for _ in self._bowel]
        self._mesentery = self._grow_mesentery(rng)
        self._plaque = rng.uniform(0, 6)
        self._gas_level_mm = rng.uniform(-46, -28)

    @property
    def half_width_mm(self) -> float:
        """From the middle to the wall of the trunk."""
        return self._wall.half_width_mm

    @property
    def kidneys_z_mm(self) -> tuple[float, float]:
        """Middles of the right and the left kidney."""
        return float(self._kidney_z[0]) - 4, float(self._kidney_z[1]) + 4

    def draw(self, plane: Plane) -> None:
        """Paint one slice."""
        narrow = smoothstep(-plane.z, 0, 90)
        cavity = self._wall.cavity(plane, width=1 - 0.06 * narrow, depth=1 - 0.08 * narrow)
        draw_table(plane, top_mm=self._wall.back_mm + 4, half_width_mm=205)
        back = back_muscles(self._spine, plane.z)
        covered = [muscle.patch(plane, grow=4 + 0.4 * self._wall.fat_mm) for muscle in back]
        inside, _ = self._wall.draw(plane, cavity, bulges=covered)
        plane.paint(Patch(plane.everywhere, inside), -102 + 9 * self._fine.on(plane) + 5 * self._coarse.on(plane))
        if plane.z > -25:
            self._ribs.draw(plane, cavity, inside)
        self._deep_muscles(plane)
        self._mesentery.paint(plane, 30 + 60 * self._enhanced, within=inside + 4)
        self._digestive(plane, inside)
        self._upper_organs(plane, inside)
        self._kidneys(plane, inside)
        self._great_vessels(plane)
        draw_back_muscles(plane, back, self._fine)
        self._spine.draw(plane)
        self._lung_bases(plane, inside)

    def _make_liver(self, rng: np.random.Generator) -> tuple[Blob, Blob]:
        width = self._wall.half_width_mm
        lobes = [(2, 0.07, rng.uniform(0, 1), 0.004), (3, rng.uniform(0.03, 0.07), 1.2, 0.006), (5, 0.02, 2, 0.01)]
        right = Blob((-0.42 * width, -4, 52), (0.52 * width, 74, 82), angle=0.25, lobes=lobes, lean=(0.22, 0.06))
        left = Blob((0.08 * width, -44, 50), (0.42 * width, 30, 52), angle=-0.12, lobes=lobes)
        return right, left

    def _grow_liver_vessels(self, rng: np.random.Generator) -> list[Tubes]:
        width = self._wall.half_width_mm

        def inside(points: np.ndarray) -> np.ndarray:
            return ((points - (-0.44 * width, 0, 40)) ** 2 / np.square((0.5 * width, 66, 80))).sum(axis=1) < 1

        trees = []
        for root, radius in (((-22, -6, 22), 5.5), ((-16, 16, 74), 4.6)):
            ends = rng.uniform((-0.9 * width, -60, 0), (-0.1 * width, 60, 80), size=(6, 3))
            trees.append(vessel_tree(rng, root=root, targets=ends, radius_mm=radius, generations=4, inside=inside))
        return trees

    def _scatter_lesions(self, rng: np.random.Generator) -> list[tuple[Blob, float]]:
        width, lesions = self._wall.half_width_mm, []
        for _ in range(int(rng.choice([0, 1, 4]))):
            center = -rng.uniform(0.3, 0.75) * width, rng.uniform(-40, 40), rng.uniform(0, 70)
            radius = rng.uniform(4, 17)
            lesions.append((Blob(center, (radius, radius * 0.9, radius)), rng.choice([5.0, self._liver_hu - 30])))
        return lesions

    def _wind_bowel(self, rng: np.random.Generator) -> Tubes:
        """A loop of small bowel: a smooth random walk with nearly constant radius."""
        points = [np.array([rng.uniform(-70, 75), rng.uniform(-62, 5), rng.uniform(-85, 5)])]
        heading = rng.standard_normal(3)
        for _ in range(9):
            heading = 0.55 * heading + rng.standard_normal(3) * (1, 0.7, 0.8)
            step = points[-1] + 17 * heading / np.linalg.norm(heading)
            points.append(np.clip(step, (-80, -0.8 * self._wall.half_depth_mm, -120), (85, 12, 12)))
        return Tubes.along([tuple(point) for point in points], list(rng.uniform(9, 13.5, size=len(points))))

    def _grow_mesentery(self, rng: np.random.Generator) -> Tubes:
        ends = rng.uniform((-70, -70, -80), (75, -20, 20), size=(10, 3))
        return vessel_tree(
            rng, root=(2, 4, -12), targets=ends, radius_mm=2.4, generations=4, inside=lambda points: points[:, 1] < 20
        )

    def _deep_muscles(self, plane: Plane) -> None:
        x, y = self._spine.center(plane.z)
        low = smoothstep(-plane.z, -30, 80)
        muscle = 56 + 8 * self._fine.on(plane)
        for side in (-1, 1):
            psoas = Blob(
                (x + side * (27 + 8 * low), y + 4, plane.z), (7 + 12 * low, 10 + 12 * low, np.inf), angle=side * 0.3
            )
            quadratus = Blob((x + side * 62, y + 26, plane.z), (18, 8, np.inf), angle=-side * 0.35)
            plane.paint(psoas.patch(plane), muscle)
            plane.paint(quadratus.patch(plane), muscle, strength=0.4 + 0.6 * low)
            rectus = Blob((side * 38, -self._wall.half_depth_mm - 3, plane.z), (30, 6, np.inf), angle=side * 0.12)
            plane.paint(rectus.patch(plane), muscle)

    def _digestive(self, plane: Plane, inside: np.ndarray) -> None:
        width, depth, within = self._wall.half_width_mm, self._wall.half_depth_mm, inside + 2
        wall_hu = 45 + 45 * self._enhanced
        for loop in self._bowel:
            loop.paint(plane, wall_hu, within=within)
        for loop, (content_hu, has_gas) in zip(self._bowel, self._contents, strict=True):
            content = content_hu + 8 * self._coarse.on(plane)
            if has_gas:
                content = np.where(plane.y + 6 * self._coarse.on(plane) < -38, -960.0, content)
            loop.paint(plane, content, grow=-3, within=within)
        stool = 20 + 40 * self._fine.on(plane) - 900 * (self._fine.on(plane) + 0.6 * self._coarse.on(plane) > 1.15)
        gas = np.where(plane.y < self._gas_level_mm, -975.0, stool)
        colon = (
            (
                Tubes.along(
                    [(-0.78 * width, 20, -130), (-0.8 * width, 12, -40), (-0.74 * width, -12, 4)], [25, 23, 20]
                ),
                stool,
            ),
            (
                Tubes.along([(0.84 * width, 22, -130), (0.84 * width, 24, -20), (0.8 * width, 0, 45)], [15, 17, 19]),
                stool,
            ),
            (
                Tubes.along(
                    [
                        (-0.7 * width, -34, 0),
                        (-0.3 * width, -0.72 * depth, -30),
                        (0.3 * width, -0.74 * depth, -28),
                        (0.74 * width, -20, 40),
                    ],
                    [19, 18, 18, 18],
                ),
                gas,
            ),
        )
        haustra = 2.2 * np.sin(plane.z / 7)
        for tube, _ in colon:
            tube.paint(plane, wall_hu, grow=haustra, within=within)
        for tube, content in colon:
            tube.paint(plane, content, grow=haustra - 2.5, within=within)
        lobes = [(2, 0.12, 0.5, 0.012), (3, 0.06, 2, 0.02)]
        stomach = Blob((0.36 * width, -34, 46), (54, 36, 46), angle=0.5, lobes=lobes)
        folds = 2.5 * self._coarse.on(plane)
        patch = stomach.patch(plane)
        if patch is not None:
            plane.paint(patch, wall_hu, within=within)
            meal = np.where(plane.y < self._gas_level_mm, -980.0, 18 + 12 * self._fine.on(plane))
            plane.paint(Patch(patch.box, patch.distance + 6 + folds[patch.box]), meal, within=within)

    def _kidneys(self, plane: Plane, inside: np.ndarray) -> None:
        cortex, medulla = 33 + 150 * self._enhanced, 31 + 95 * self._enhanced
        for number, side in enumerate((-1, 1)):
            z = self._kidney_z[number] + (4 if side > 0 else -4)
            notch = [(2, 0.06, 0.0, 0.0), (1, 0.05, 0.0 if side > 0 else np.pi, 0.0)]
            angle, lean = side * 0.55, (-side * 0.22, -0.12)
            kidney = Blob((side * 66, 36, z), (27, 31, 56), angle=angle, lean=lean, lobes=notch)
            plane.paint(kidney.patch(plane), cortex, within=inside + 2)
            patch = kidney.patch(plane, grow=-7)
            if patch is not None:
                pyramids = 2.6 * np.sin(9 * np.arctan2(plane.y - 36, plane.x - side * 66))
                plane.paint(Patch(patch.box, patch.distance + pyramids[patch.box]), medulla, within=inside + 2)
            sinus = Blob((side * 58, 33, z), (15, 15, 30), angle=angle, lean=lean)
            plane.paint(sinus.patch(plane), -80)
            pelvis = Blob((side * 53, 33, z), (11, 6, 14), angle=angle, lean=lean)
            plane.paint(pelvis.patch(plane), 8)
            if self._stones[number]:
                plane.paint(Blob((side * 60, 36, z - 14), (4, 3, 4)).patch(plane), 800)

    def _upper_organs(self, plane: Plane, inside: np.ndarray) -> None:
        width, within = self._wall.half_width_mm, inside + 2
        spleen = Blob((0.74 * width, 26, 44), (25, 50, 48), angle=-0.5, lobes=[(2, 0.05, 0, 0), (3, 0.09, 1.6, 0.01)])
        plane.paint(spleen.patch(plane), 48 + 65 * self._enhanced + 3 * self._fine.on(plane), within=within)
        pancreas = Tubes.along([(-30, -12, -14), (-8, -16, 2), (26, -4, 16), (62, 14, 28)], [15, 10, 9.5, 8])
        for piece in pancreas.patches(plane):
            lobulated = Patch(piece.box, piece.distance + 2 * self._fine.on(plane)[piece.box])
            plane.paint(lobulated, 42 + 50 * self._enhanced, within=within)
        duodenum = Tubes.along([(-34, -34, 12), (-46, -12, 0), (-44, 2, -30), (0, 10, -42), (34, 4, -30)], 12)
        duodenum.paint(plane, 45 + 40 * self._enhanced, within=within)
        duodenum.paint(plane, 16, grow=-3.5, within=within)
        self._draw_liver(plane, within)
        gallbladder = Blob((-0.36 * width, -40, 4), (15, 20, 28), angle=0.4)
        plane.paint(gallbladder.patch(plane, grow=1.5), 45 + 30 * self._enhanced, within=within)
        plane.paint(gallbladder.patch(plane), 9, within=within)

    def _draw_liver(self, plane: Plane, within: np.ndarray) -> None:
        for lobe in self._liver:
            plane.paint(lobe.patch(plane), self._liver_hu + 3 * self._fine.on(plane), within=within)
        solid = np.full((plane.size, plane.size), np.inf, dtype=np.float32)
        patch = self._liver[0].patch(plane, grow=-3)
        if patch is not None:
            solid[patch.box] = patch.distance
            for tree in self._liver_vessels:
                tree.paint(plane, self._blood_hu + (8 if self._enhanced else -4), within=np.maximum(solid, within))
            for lesion, hu in self._lesions:
                plane.paint(lesion.patch(plane), hu, within=solid)

    def _great_vessels(self, plane: Plane) -> None:
        x, y = self._spine.center(plane.z)
        front = y - self._spine.depth_mm
        aorta = Blob((x + 9, front - 11, plane.z), (9.5, 9.5, np.inf))
        cava = Blob((x - 18, front - 9, plane.z), (12, 9, np.inf), angle=0.3)
        plane.paint(aorta.patch(plane, grow=1.5), 45)
        plane.paint(aorta.patch(plane), self._blood_hu + 30 * self._enhanced)
        plane.paint(cava.patch(plane), self._blood_hu)
        if np.sin(plane.z / 11 + self._plaque) > 0.55:
            plane.paint(Blob((x + 15, front - 6, plane.z), (2.4, 3.4, np.inf), angle=0.6).patch(plane), 620)
        branches = [
            Tubes.along([(9, 14, 18), (4, -8, 6), (3, -12, -90)], 3.6),
            Tubes.along([(-8, -14, -90), (-10, -10, 4), (-22, -4, 26)], 5.5),
            Tubes.along([(9, 16, 4), (34, 26, -2), (54, 32, -6)], 3.2),
            Tubes.along([(9, 16, 2), (-30, 28, -8), (-54, 32, -12)], 3.2),
            Tubes.along([(9, 14, 34), (0, -6, 36), (-24, -8, 30)], 3.0),
            Tubes.along([(4, -4, 32), (40, 4, 34), (78, 24, 40)], 3.6),
        ]
        for branch in branches:
            branch.paint(plane, self._blood_hu)

    def _lung_bases(self, plane: Plane, inside: np.ndarray) -> None:
        """The recesses of the lungs behind liver and spleen in the highest slices."""
        if plane.z < 30:
            return
        rim = (plane.z - 30) * 0.34 * np.clip((plane.y + 40) / 80, 0, 1.2)
        recess = np.maximum(np.maximum(inside + 1, -(inside + 1 + rim)), 34 - np.abs(plane.x))
        recess = np.maximum(recess, -20 - plane.y)
        plane.paint(Patch(plane.everywhere, recess), -850 + 25 * self._fine.on(plane))
