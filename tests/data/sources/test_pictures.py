"""Pictures as slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.slice_files import write_pictures
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.errors import DatasetError


def _source(folder: Path) -> PictureSource:
    return PictureSource(folder, sorted(file for file in folder.rglob("*") if file.is_file()))


def test_gray_levels_come_out_as_they_are(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    source = _source(tmp_path)
    assert source.dtype == np.uint8
    np.testing.assert_array_equal(source.read(0), levels)


def test_sixteen_bits_keep_their_full_scale(tmp_path: Path) -> None:
    levels = np.array([[0, 1000], [40000, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    source = _source(tmp_path)
    assert source.dtype == np.uint16
    np.testing.assert_array_equal(source.read(0), levels)


def test_eight_bit_pictures_beside_sixteen_bit_ones_are_brought_to_the_same_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.full((4, 4), 255, dtype=np.uint8)).save(tmp_path / "b.png")
    source = _source(tmp_path)
    assert source.read(0).max() == source.read(1).max() == 65535


def test_sixteen_bit_pictures_that_use_a_fraction_of_the_scale_are_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(np.full((4, 4), 4095, dtype=np.uint16)).save(tmp_path / "a.png")
    _source(tmp_path)
    assert "a.png is not brighter than 4095 and will be nearly black" in caplog.text


def test_colour_becomes_gray_by_luminance(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (200, 100, 50)).save(tmp_path / "a.png")
    assert _source(tmp_path).read(0) == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=1)


def test_transparency_is_laid_on_black(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (200, 200, 200, 0)).save(tmp_path / "a.png")
    Image.new("LA", (2, 2), (200, 255)).save(tmp_path / "b.png")
    source = _source(tmp_path)
    assert source.read(0).max() == 0
    assert source.read(1).min() == 200


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 2), 1)
    picture.putpalette([0, 0, 0, 90, 90, 90])
    picture.save(tmp_path / "a.png")
    assert (_source(tmp_path).read(0) == 90).all()


def test_jpeg_is_read(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "a.jpg")
    assert _source(tmp_path).read(0) == pytest.approx(77, abs=2)


def test_every_picture_stands_for_itself_in_a_few_folders(tmp_path: Path) -> None:
    for folder in range(2):
        write_pictures(tmp_path / str(folder), count=3)
    source = _source(tmp_path)
    assert (source.grouped_by, len(set(source.groups))) == ("picture", 6)


def test_many_folders_are_taken_for_volumes(tmp_path: Path) -> None:
    for folder in range(10):
        write_pictures(tmp_path / str(folder), count=2)
    source = _source(tmp_path)
    assert (source.grouped_by, len(set(source.groups))) == ("folder", 10)


def test_groups_do_not_show_names(tmp_path: Path) -> None:
    write_pictures(tmp_path / "Doe_John", count=1)
    assert "Doe" not in str(_source(tmp_path).groups)


def test_mixed_sizes_are_told(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a", count=1, rows=30, columns=10)
    write_pictures(tmp_path / "b", count=2, rows=20, columns=24)
    description = _source(tmp_path).describe()
    assert description == {"sizes": 2, "smallest_rows_columns": [30, 10], "largest_rows_columns": [20, 24]}


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=1)
    (tmp_path / "report.png").write_bytes(b"%PDF-1.4")
    with pytest.raises(DatasetError, match=r"picture report\.png cannot be read: it is no picture.*Replace it or move"):
        _source(tmp_path)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(DatasetError, match=r"empty\.png"):
        _source(tmp_path)


def test_a_picture_that_ends_early_is_named_when_it_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    source = _source(tmp_path)
    with pytest.raises(DatasetError, match=r"cut\.png cannot be read"):
        source.read(0)


def test_the_fingerprint_tells_other_pixels_and_other_names(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=2)
    first = _source(tmp_path).fingerprint
    assert _source(tmp_path).fingerprint == first
    Image.fromarray(np.full((20, 24), 200, dtype=np.uint8)).save(tmp_path / "000.png")
    changed = _source(tmp_path).fingerprint
    (tmp_path / "000.png").rename(tmp_path / "zzz.png")
    assert len({first, changed, _source(tmp_path).fingerprint}) == 3
