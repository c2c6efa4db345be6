"""Contact sheets: one small windowed picture a series, many on a page, to look over a slice store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from monai_ext.data.store.reader import SliceStore
from monai_ext.transforms.window import Window, WindowChoice, find_window

__all__ = ["draw_contact_sheets"]

_TILE, _CAPTION, _GAP = 160, 26, 4
_BACKGROUND, _INK = 24, 208
_PERCENTILES = (1, 99)


def draw_contact_sheets(
    store: SliceStore, folder: str | Path, *, series_a_sheet: int = 48, window: WindowChoice = "mediastinum"
) -> Iterator[Path]:
    """Draw the middle slice of every series and yield the PNG files ``sheet-0001.png``, ... as they are written.

    CT is windowed; MR is shown from the 1st to the 99th percentile of its slice, pictures as they are. The caption is
    the beginning of the series' pseudonym, the number of its slices, and their size.

    Args:
        store: what to look at.
        folder: where the sheets go; made when missing.
        series_a_sheet: series on one sheet.
        window: preset or ``[center_hu, width_hu]``, for CT.

    Raises:
        ValueError: an unknown window, or no series on a sheet.
        OSError: the folder cannot be written.
    """
    if series_a_sheet < 1:
        raise ValueError(f"A sheet needs at least one series, but {series_a_sheet} were asked for.")
    chosen = find_window(window)
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for sheet, first in enumerate(range(0, len(store.series_ids), series_a_sheet), start=1):
        numbers = range(first, min(first + series_a_sheet, len(store.series_ids)))
        file = folder / f"sheet-{sheet:04d}.png"
        _draw_sheet(store, numbers, chosen).save(file)
        yield file


def _draw_sheet(store: SliceStore, numbers: Sequence[int], window: Window) -> Image.Image:
    across = min(len(numbers), max(1, round((1.5 * len(numbers)) ** 0.5)))
    down = -(-len(numbers) // across)
    width, height = _TILE + _GAP, _TILE + _CAPTION + _GAP
    sheet = Image.new("L", (across * width + _GAP, down * height + _GAP), _BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for place, number in enumerate(numbers):
        left, top = _GAP + place % across * width, _GAP + place // across * height
        slices, rows, columns = map(int, store.shapes[number])
        tile = _tile(store.read_of_series(number, slices // 2), store.source_kind, window)
        sheet.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
        caption = f"{store.series_ids[number][:12]}\n{slices} x {rows} x {columns}"
        pen.multiline_text((left, top + _TILE), caption, fill=_INK, font_size=10, spacing=1)
    return sheet


def _tile(pixels: np.ndarray, source_kind: str, window: Window) -> Image.Image:
    if source_kind == "picture":
        gray = pixels
    else:
        lower, upper = window.lower_hu, window.upper_hu
        if source_kind == "mr":
            lower, upper = np.percentile(pixels, _PERCENTILES)
        gray = ((pixels - lower) / max(upper - lower, 1) * 255).clip(0, 255).astype(np.uint8)
    tile = Image.fromarray(gray)
    tile.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
    return tile
