"""Contact sheets of slice stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.slice_stores import make_store, rows_of
from monai_ext.data.store.contact_sheet import draw_contact_sheets
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter


def test_every_series_has_a_tile_on_one_of_the_sheets(tmp_path: Path) -> None:
    store = SliceStore(make_store(tmp_path / "store"))
    sheets = list(draw_contact_sheets(store, tmp_path / "sheets", series_a_sheet=2))
    assert [sheet.name for sheet in sheets] == ["sheet-0001.png", "sheet-0002.png"]
    sizes = [Image.open(sheet).size for sheet in sheets]
    assert sizes[0][0] > sizes[1][0]


@pytest.mark.parametrize(("window", "gray"), [([40, 400], 128), ([0, 2000], 133), ("lung", 236)])
def test_ct_is_shown_through_the_window(tmp_path: Path, window: list[float] | str, gray: int) -> None:
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        writer.add_series("series-x", np.full((1, 160, 160), 41, np.int16), rows_of("series-x", slices=1), {})
    (sheet,) = draw_contact_sheets(SliceStore(tmp_path / "store"), tmp_path, window=window)
    assert np.asarray(Image.open(sheet))[80, 80] == pytest.approx(gray, abs=1)


@pytest.mark.parametrize("source_kind", ["mr", "picture"])
def test_mr_and_pictures_are_shown_without_a_window(tmp_path: Path, source_kind: str) -> None:
    store = SliceStore(make_store(tmp_path / "store", source_kind=source_kind))
    (sheet,) = draw_contact_sheets(store, tmp_path / "sheets")
    assert np.asarray(Image.open(sheet)).std() > 10


def test_sheets_without_series_are_refused(tmp_path: Path) -> None:
    store = SliceStore(make_store(tmp_path / "store"))
    with pytest.raises(ValueError, match="at least one series, but 0"):
        next(draw_contact_sheets(store, tmp_path, series_a_sheet=0))
