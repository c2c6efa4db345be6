"""Solids and textures of the phantoms."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ext.data.phantoms.shapes import Blob, Plane, Texture, shell


def _plane(z_mm: float = 0.0, *, pixel_mm: float = 0.5) -> Plane:
    return Plane(z_mm, size=128, pixel_mm=pixel_mm)


def _area_mm2(plane: Plane) -> float:
    """Area of what was painted with 0 HU on air."""
    return float((plane.hu / 1000 + 1).sum()) * plane.pixel_mm**2


def test_an_ellipse_has_its_area() -> None:
    plane = _plane()
    plane.paint(Blob((3, -4, 0), (20, 10, 30), angle=0.6).patch(plane), 0)
    assert _area_mm2(plane) == pytest.approx(np.pi * 20 * 10, rel=0.01)


def test_an_ellipsoid_narrows_along_z_and_ends() -> None:
    solid = Blob((0, 0, 0), (20, 20, 20))
    plane = _plane(12)
    plane.paint(solid.patch(plane), 0)
    assert _area_mm2(plane) == pytest.approx(np.pi * (20**2 - 12**2), rel=0.01)
    assert solid.patch(_plane(20)) is None


def test_a_leaning_column_moves_with_height() -> None:
    plane = _plane(10)
    plane.paint(Blob((0, 0, 0), (4, 4, np.inf), lean=(1.0, -0.5)).patch(plane), 0)
    weights = plane.hu / 1000 + 1
    assert (weights * plane.x).sum() / weights.sum() == pytest.approx(10, abs=0.1)
    assert (weights * plane.y).sum() / weights.sum() == pytest.approx(-5, abs=0.1)


def test_the_shell_of_a_disc_is_a_ring() -> None:
    plane = _plane()
    plane.paint(shell(Blob((0, 0, 0), (20, 20, np.inf)).patch(plane), 3), 0)
    assert _area_mm2(plane) == pytest.approx(np.pi * (20**2 - 17**2), rel=0.02)


def test_solids_outside_the_picture_paint_nothing() -> None:
    plane = _plane()
    plane.paint(Blob((500, 0, 0), (9, 9, 9)).patch(plane), 0)
    assert (plane.hu == -1000).all()


def test_a_texture_is_standardised_and_continuous_along_z() -> None:
    texture = Texture(np.random.default_rng(0), cell_mm=2.0)
    fields = [texture.on(_plane(z)) for z in (0.0, 0.05, 17.0)]
    assert fields[0].std() == pytest.approx(1, abs=0.15)
    assert np.abs(fields[0] - fields[1]).max() < 0.2
    assert np.abs(fields[0] - fields[2]).max() > 1
