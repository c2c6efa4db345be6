"""Takes the face out of CT of the head: what lies before a surface that keeps clear of the brain becomes air."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from monai_ext.data.dicom.refusals import Refusal, SkipReason

__all__ = ["DEFACED", "NO_HEAD", "deface", "find_cut"]

DEFACED, NO_HEAD = "sheared", "no-head"
_AIR_HU, _BONE_HU, _SOFT_HU = -1000, 250.0, (-15.0, 110.0)
_GRID_MM, _SMOOTH_MM, _DETACH_MM, _MARGIN_MM = 2.0, 1.5, 4.0, 10.0
_FACE_HEIGHT_MM = 180.0
"""From the front of the brain to below the chin; what is lower is neck and chest, and stays."""
_CAVITY_CM2, _LEAST_CORE_CM2 = (15.0, 320.0), 4.0
_STRAIGHT = 0.8
_NO_FACE = """
ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM BILEDUCT BLADDER BREAST BRONCHUS CALCANEUS CALF CHEST CHESTABDOMEN
CHESTABDPELVIS CLAVICLE COCCYX COLON CORONARYARTERY DUODENUM ELBOW ESOPHAGUS FEMUR FINGER FOOT GALLBLADDER HAND HEART
HIP HUMERUS ILEUM ILIUM KIDNEY KNEE LEG LIVER LSPINE LSSPINE LUNG MEDIASTINUM OVARY PANCREAS PATELLA PELVIS PROSTATE
RECTUM RIB SACRUM SCAPULA SHOULDER SPLEEN SSPINE STERNUM STOMACH THIGH THORAX THUMB TLSPINE TOE TSPINE UTERUS WRIST
"""
"""Body parts, as DICOM's defined terms, whose scans end below the chin; of others a face is expected."""


def deface(
    pixels: np.ndarray,
    *,
    positions_mm: Sequence[float] | np.ndarray,
    spacing_mm: tuple[float | None, float | None],
    orientation: Sequence[float],
    body_part: str | None,
) -> str:
    """Remove the face from a series, in place; returns what was done, ``"sheared"`` or ``"no-head"``.

    The idea is that of quickshear (Schimke and Hale 2011), for CT and slice by slice: the cavity of the skull is found
    as the soft tissue that bone encloses; below the front of the brain, everything that lies before the convex hull of
    that cavity, seen from the side, and a margin of 10 mm, becomes air. The brain and its bone stay as they are.

    Args:
        pixels: (n, rows, columns) in Hounsfield units, in order of position.
        positions_mm: of every slice along the normal.
        spacing_mm: distances of rows and of columns.
        orientation: direction cosines of rows and columns in patient coordinates (LPS).
        body_part: DICOM's defined term, where it is known.

    Raises:
        Refusal: whether there is a face in it, or where, cannot be told.
    """
    rows_mm, columns_mm = spacing_mm
    if rows_mm is None or columns_mm is None:
        raise Refusal(SkipReason.NOT_DEFACED, "Pixel Spacing (0028,0030) is missing")
    upright, positions = _upright(pixels, np.asarray(positions_mm, float), orientation)
    cut = find_cut(upright, positions, rows_mm, columns_mm)
    if cut is None:
        if body_part not in _NO_FACE.split():
            raise Refusal(SkipReason.NOT_DEFACED, "no brain was found in it")
        return NO_HEAD
    for image, row in zip(upright, cut, strict=True):
        image[: max(0, int(row))] = _AIR_HU
    return DEFACED


def find_cut(pixels: np.ndarray, positions_mm: np.ndarray, row_mm: float, column_mm: float) -> np.ndarray | None:
    """Of every slice the number of rows to remove, from the front; None where no cavity of a skull is found.

    Args:
        pixels: (n, rows, columns), feet first, the first row in front.
        positions_mm: (n,), rising.
        row_mm: distance of rows.
        column_mm: distance of columns.
    """
    step = max(1, round(_GRID_MM / row_mm)), max(1, round(_GRID_MM / column_mm))
    coarse_mm = step[0] * row_mm, step[1] * column_mm
    fronts = _fronts_of_cavity(_coarse(pixels, step), coarse_mm)
    found = np.flatnonzero(np.isfinite(fronts))
    if not len(found):
        return None
    fronts_mm = fronts * coarse_mm[0]
    foremost = int(found[np.argmin(fronts_mm[found])])
    lower = found[found <= foremost]
    heights = positions_mm - positions_mm[foremost]
    hull_mm = _hull(heights[lower], fronts_mm[lower], heights)
    kept_mm = np.minimum(hull_mm, fronts_mm[lower[0]]) - _MARGIN_MM
    is_face = (heights <= 0) & (heights >= -_FACE_HEIGHT_MM)
    return np.where(is_face, np.clip(kept_mm / row_mm, 0, pixels.shape[1]), 0).astype(int)


def _upright(pixels: np.ndarray, positions: np.ndarray, orientation: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A view of the slices with feet first and the face in the first rows, with rising positions.

    Raises:
        Refusal: they are not axial.
    """
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    up = np.cross(across, down)[2]
    if abs(across[0]) < _STRAIGHT or abs(down[1]) < _STRAIGHT or abs(up) < _STRAIGHT:
        raise Refusal(SkipReason.NOT_DEFACED, "its slices are not axial")
    view = pixels if down[1] > 0 else pixels[:, ::-1]
    return (view, positions) if up > 0 else (view[::-1], -positions[::-1])


def _coarse(pixels: np.ndarray, step: tuple[int, int]) -> np.ndarray:
    """Means of blocks of pixels, float32 (n, rows, columns)."""
    rows, columns = (size // length for size, length in zip(pixels.shape[1:], step, strict=True))
    coarse = np.empty((len(pixels), rows, columns), np.float32)
    for image, small in zip(pixels, coarse, strict=True):
        cut = image[: rows * step[0], : columns * step[1]].astype(np.float32)
        small[:] = cut.reshape(rows, step[0], columns, step[1]).mean(axis=(1, 3))
    return coarse


def _fronts_of_cavity(coarse: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Of every slice the first row of the cavity, NaN where there is none.

    A slice whose bone is a closed ring shows the cavity; from there it is followed downwards, into slices whose bone is
    open, by what overlaps with it once thin connections are cut off.
    """
    fronts = np.full(len(coarse), np.nan)
    above: np.ndarray | None = None
    for number in reversed(range(len(coarse))):
        image = ndimage.gaussian_filter(coarse[number], [_SMOOTH_MM / length for length in spacing_mm])
        cavity = _enclosed(image, spacing_mm)
        if cavity is None and above is not None:
            cavity = _soft(image) & ndimage.binary_dilation(above, iterations=_steps(spacing_mm))
        if cavity is not None:
            cavity = _detached(cavity, above, spacing_mm)
        if cavity is not None:
            fronts[number] = np.flatnonzero(cavity.any(axis=1))[0]
        above = cavity
    return fronts


def _soft(image: np.ndarray) -> np.ndarray:
    return (image > _SOFT_HU[0]) & (image < _SOFT_HU[1])


def _enclosed(image: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray | None:
    """What a closed ring of bone encloses, if it is as large as a brain and of soft tissue; else None."""
    bone = image > _BONE_HU
    inside, count = ndimage.label(ndimage.binary_fill_holes(bone) & ~bone)
    if not count:
        return None
    areas = np.bincount(inside.ravel())[1:]
    cavity = inside == 1 + int(np.argmax(areas))
    area_cm2 = areas.max() * spacing_mm[0] * spacing_mm[1] / 100
    is_brain = _soft(image)[cavity].mean() > 0.7
    return cavity if _CAVITY_CM2[0] <= area_cm2 <= _CAVITY_CM2[1] and is_brain else None


def _detached(cavity: np.ndarray, above: np.ndarray | None, spacing_mm: tuple[float, float]) -> np.ndarray | None:
    """Parts of a cavity that go on from the slice above, without what hangs on them by a thin connection.

    Small parts are left out: the eyes lie below the frontal lobes, and where the roof of the orbit is thin, they look
    like a continuation.
    """
    steps = _steps(spacing_mm)
    core, _ = ndimage.label(ndimage.binary_erosion(cavity, iterations=steps))
    areas_cm2 = np.bincount(core.ravel()) * spacing_mm[0] * spacing_mm[1] / 100
    chosen = areas_cm2 >= _LEAST_CORE_CM2
    if above is not None:
        chosen &= np.isin(np.arange(len(areas_cm2)), core[above])
    chosen[0] = False
    grown = ndimage.binary_dilation(chosen[core], iterations=steps) & cavity
    return grown if grown.any() else None


def _steps(spacing_mm: tuple[float, float]) -> int:
    return max(1, round(_DETACH_MM / max(spacing_mm)))


def _hull(heights: np.ndarray, fronts_mm: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The front of the convex hull of points (height, front) at other heights; below the lowest its edge goes on."""
    chain: list[tuple[float, float]] = []
    for point in zip(heights.tolist(), fronts_mm.tolist(), strict=True):
        if chain and chain[-1][0] == point[0]:  # two slices at one position
            point = (point[0], min(point[1], chain.pop()[1]))
        while len(chain) > 1 and _turns_outwards(chain[-2], chain[-1], point):
            chain.pop()
        chain.append(point)
    if len(chain) == 1:
        return np.full(len(at), chain[0][1])
    low, high = chain[0], chain[1]
    below = low[1] + (at - low[0]) * (high[1] - low[1]) / (high[0] - low[0])
    return np.where(at < low[0], below, np.interp(at, [height for height, _ in chain], [front for _, front in chain]))


def _turns_outwards(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle point lies behind the line between the others, so that the hull passes it by."""
    return (middle[1] - first[1]) * (last[0] - first[0]) >= (last[1] - first[1]) * (middle[0] - first[0])
