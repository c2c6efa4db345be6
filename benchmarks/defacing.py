"""What defacing takes away from CT of the head: of the face as seen from the front, and of the brain.

Run ``python benchmarks/defacing.py FOLDER --picture faces.png``. For every CT series with a head it tells how much of
the middle 100 mm of the surface that is seen from the front, from 20 mm below the front of the brain on, was moved by
more than 5 mm, and how many voxels of the brain were touched. The brain is found independently of the method: soft
tissue that bone encloses once gaps of up to 16 mm in the bone are closed. The picture shows the shaded surface before
and after.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from monai_ext.data.dicom import find_series, read_hounsfield
from monai_ext.data.dicom.refusals import Refusal
from monai_ext.data.ingestion.defacing import DEFACED, deface, find_cut

_SKIN_HU, _MOVED_MM, _BELOW_MM, _MIDDLE_MM = -300, 5.0, 20.0, 100.0
_CLOSED_MM, _GRID = 8.0, 4


def surface_mm(pixels: np.ndarray, row_mm: float) -> np.ndarray:
    """Distance from the first row to the skin, (slices, columns); infinite where there is none."""
    body = np.stack([ndimage.binary_opening(image > _SKIN_HU, iterations=2) for image in pixels])
    return np.where(body.any(axis=1), body.argmax(axis=1) * row_mm, np.inf)


def brain_of(pixels: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Soft tissue within closed bone, on every fourth row and column."""
    steps = round(_CLOSED_MM / (_GRID * spacing_mm))
    found = []
    for image in pixels[:, ::_GRID, ::_GRID].astype(np.float32):
        smooth = ndimage.gaussian_filter(image, 0.7)
        bone = np.pad(smooth > 250, 2 * steps)
        closed = ndimage.binary_closing(bone, iterations=steps)[2 * steps : -2 * steps, 2 * steps : -2 * steps]
        inside = ndimage.binary_fill_holes(closed) & ~closed & (smooth > 0) & (smooth < 90)
        found.append(ndimage.binary_opening(inside, iterations=3))
    return np.stack(found)


def shaded(surface: np.ndarray, positions: np.ndarray, column_mm: float) -> Image.Image:
    """The surface lit from the front, head up, one pixel a millimetre."""
    heights = np.arange(positions[0], positions[-1], 1.0)
    finite = np.where(np.isfinite(surface), surface, 400.0)
    depth = np.stack([np.interp(heights, positions, column) for column in finite.T], axis=1)
    across, up = np.gradient(depth, axis=1) / column_mm, np.gradient(depth, axis=0)
    light = 255 / np.sqrt(1 + across**2 + up**2) * (depth < 300)
    image = Image.fromarray(light[::-1].astype(np.uint8))
    return image.resize((round(depth.shape[1] * column_mm * 2), 2 * len(heights)))


def main() -> None:
    """Deface every series and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with CT series of the head")
    parser.add_argument("--picture", type=Path, help="PNG file of the surfaces before and after")
    options = parser.parse_args()
    pictures = []
    for series in find_series(options.source).series:
        slices = series.slices
        before = np.stack([read_hounsfield(image) for image in slices]).astype(np.int16)
        after, positions = before.copy(), np.array([image.position_mm for image in slices])
        spacing = slices[0].row_spacing_mm, slices[0].column_spacing_mm
        try:
            done = deface(
                after,
                positions_mm=positions,
                spacing_mm=spacing,
                orientation=series.orientation,
                body_part=series.body_part,
            )
        except Refusal as refusal:
            print(f"{len(slices)} slices, {series.body_part}: {refusal}")
            continue
        print(f"{len(slices)} slices, {series.body_part}: {done}")
        if done != DEFACED or spacing[0] is None or spacing[1] is None:
            continue
        cut = find_cut(before, positions, spacing[0], spacing[1]) > 0
        surfaces = [surface_mm(pixels, spacing[0]) for pixels in (before, after)]
        below = cut & (positions < positions[cut].max() - _BELOW_MM)
        nose = int(np.argmin(np.where(below[:, None], surfaces[0], np.inf).min(axis=0)))
        middle = np.abs(np.arange(before.shape[2]) - nose) * spacing[1] < _MIDDLE_MM / 2
        seen = np.isfinite(surfaces[0]) & below[:, None] & middle
        moved = surfaces[1] > surfaces[0] + _MOVED_MM
        brain = brain_of(before, spacing[0])
        touched = brain & (before != after)[:, ::_GRID, ::_GRID]
        print(
            f"  {cut.sum()} slices were cut\n"
            f"  of the face's surface, in {below.sum()} of them, {moved[seen].mean():.1%} moved by more than"
            f" {_MOVED_MM:g} mm\n"
            f"  of the brain {touched.sum()} of {brain.sum()} voxels were touched"
        )
        pictures += [shaded(surface, positions, spacing[1]) for surface in surfaces]
    if options.picture and pictures:
        sheet = Image.new("L", (sum(image.width for image in pictures), max(image.height for image in pictures)))
        for number, image in enumerate(pictures):
            sheet.paste(image, (sum(other.width for other in pictures[:number]), 0))
        sheet.save(options.picture)


if __name__ == "__main__":
    main()
