"""Slices as a dataset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monai_ext.data import SliceImages
from monai_ext.data.sources.source import SliceSource
from monai_ext.errors import DatasetError


class _Source(SliceSource):
    """Two volumes of three slices; all pixels of slice n are 100 n; decoding is counted."""

    kind = "NIfTI"
    root = Path("/data")
    grouped_by = "volume"
    fingerprint = "f"
    groups = ("a", "a", "a", "b", "b", "b")

    def __init__(self, *, dtype: Any = np.int16, rows: int = 10, columns: int = 14, together: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self._shape, self._together = (rows, columns), together
        self.decoded: Counter[int] = Counter()

    def __len__(self) -> int:
        return 6

    def read(self, index: int) -> np.ndarray:
        self.decoded[index] += 1
        return np.full(self._shape, 100 * index, dtype=np.float32)

    def decoded_together(self, index: int) -> range:
        return range(index // 3 * 3, index // 3 * 3 + 3) if self._together else range(index, index + 1)

    def describe(self) -> dict[str, Any]:
        return {"volumes": 2}


def _images(source: _Source | None = None, **options: Any) -> SliceImages:
    return SliceImages(source or _Source(), **{"indices": range(6), "load_size": 8, **options})


def test_items_are_windowed_hounsfield_units_in_a_square() -> None:
    item = _images(window=[200, 400])[1]
    assert (item.dtype, item.shape) == (torch.float32, (1, 8, 8))
    assert (item == 0.25).all()


def test_gray_levels_are_divided_by_white() -> None:
    assert (_images(_Source(dtype=np.uint8))[2] == 200 / 255).all()
    assert _images(_Source(dtype=np.uint16))[2].max() == pytest.approx(200 / 65535)


def test_one_window_fills_all_channels() -> None:
    item = _images(channels=3, window="brain")[0]
    assert item.shape == (3, 8, 8)
    assert torch.equal(item[0], item[2])


def test_several_windows_fill_one_channel_each() -> None:
    item = _images(channels=2, window=["brain", [100, 1000]])[1]
    assert item[:, 0, 0].tolist() == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize(("rows", "columns"), [(8, 20), (20, 8), (5, 5), (31, 17)])
def test_the_shorter_side_is_resized_and_the_middle_kept(rows: int, columns: int) -> None:
    class Gradient(_Source):
        def read(self, index: int) -> np.ndarray:
            return np.broadcast_to(np.linspace(-500, 500, columns, dtype=np.float32), (rows, columns)).copy()

    row = _images(Gradient(rows=rows, columns=columns), window=[0, 1000])[0][0, 4]
    assert (row + row.flip(0)).sub(1).abs().max() < 2e-3
    assert (row.diff() > 0).all()


def test_a_slice_is_decoded_once() -> None:
    source = _Source()
    images = _images(source)
    first = images[4]
    assert torch.equal(images[4], first)
    assert source.decoded == {4: 1}


def test_what_is_kept_equals_what_is_decoded_each_time() -> None:
    kept, fresh = _images(), _images(cache_gib=0)
    for index in range(6):
        assert torch.equal(kept[index], fresh[index])
        assert torch.equal(kept[index], fresh[index])


def test_a_compressed_volume_is_decoded_once_for_all_its_slices() -> None:
    source = _Source(together=True)
    images = _images(source, indices=[5, 3, 0])
    items = [images[place] for place in range(3)]
    assert source.decoded == {5: 1, 3: 1, 0: 1}
    source.decoded.clear()
    assert torch.equal(torch.stack(items), torch.stack([images[place] for place in range(3)]))
    assert not source.decoded


def test_compressed_volumes_that_do_not_fit_into_memory_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    _images(_Source(together=True), cache_gib=3 * 128 / 2**30)
    assert "3 of 6 slices fit" in caplog.text
    assert "slice store" in caplog.text


def test_only_the_chosen_slices_are_there() -> None:
    images = _images(indices=[1, 4], window=[0, 2000])
    assert len(images) == 2
    assert images.groups == ("a", "b")
    assert (images[1] == 0.7).all()
    assert torch.equal(images[-1], images[1])
    with pytest.raises(IndexError):
        images[2]


def test_the_description_is_plain_and_complete() -> None:
    description = _images(channels=2, window=["lung", "bone"], labels={"section": "training"}).describe()
    assert description == {
        "count": 6,
        "kind": "NIfTI",
        "source": "/data",
        "section": "training",
        "groups": 2,
        "grouped_by": "volume",
        "values": "Hounsfield units",
        "windows_hu": [[-600, 1500], [400, 1800]],
        "channels": 2,
        "load_size": 8,
        "fingerprint": "f",
        "volumes": 2,
    }


def test_a_window_on_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'lung' cannot be applied to pictures.*Leave window at 'full'"):
        _images(_Source(dtype=np.uint8), window="lung")


def test_windows_that_do_not_fit_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 windows do not fit 3 channels"):
        _images(window=["lung", "bone"], channels=3)


class _Damaged(_Source):
    """Some slices cannot be decoded."""

    def __init__(self, *damaged: int, **options: Any) -> None:
        super().__init__(**options)
        self.damaged = damaged

    def read(self, index: int) -> np.ndarray:
        plane = super().read(index)
        if index in self.damaged:
            raise DatasetError(f"The slice {index} cannot be read.")
        return plane


def test_a_damaged_slice_is_refused_unless_something_stands_in_for_it() -> None:
    with pytest.raises(DatasetError, match="slice 2 cannot"):
        _images(_Damaged(2))[2]


def test_the_next_slice_stands_in_and_the_damaged_one_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    source = _Damaged(2, 3, 5)
    images = _images(source, unreadable="next", window=[200, 400], cache_gib=0)
    expected = _images(window=[200, 400])
    for _ in range(2):
        assert torch.equal(images[2], expected[4])
        assert torch.equal(images[5], expected[0])
    messages = [record.getMessage() for record in caplog.records]
    named = [text.partition(" cannot")[0] for text in messages if "left out" in text]
    assert named == [f"A slice is left out, the slice {number}" for number in (2, 3, 5)]
    assert source.decoded[2] == 1


def test_a_blank_slice_is_nan() -> None:
    images = _images(_Damaged(2), unreadable="blank", channels=2)
    assert images[2].shape == (2, 8, 8)
    assert images[2].isnan().all()
    assert not images[3].isnan().any()


def test_a_damaged_companion_does_not_spoil_the_slice_that_was_asked_for() -> None:
    assert _images(_Damaged(1, together=True))[0].shape == (1, 8, 8)


def test_a_folder_in_which_nothing_can_be_decoded_is_refused() -> None:
    with pytest.raises(DatasetError, match="in a row cannot be decoded"):
        _images(_Damaged(*range(6)), unreadable="next")[0]
