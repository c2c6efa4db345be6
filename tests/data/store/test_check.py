"""Finding damage in slice stores, and passing over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.slice_stores import make_store, pixels_of, reseal
from monai_ext.data.store.check import check_series, set_aside
from monai_ext.data.store.format import series_file
from monai_ext.data.store.index import read_table
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import SliceStoreError


def damage(store: SliceStore, index: int) -> None:
    """Turn one bit of a slice's chunk round."""
    number, _ = store.locate(index)
    file = series_file(store.path, store.series_ids[number])
    content = bytearray(file.read_bytes())
    content[int(store._chunks[0][index]) + 20] ^= 4
    file.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    return SliceStore(make_store(tmp_path / "store"))


def test_a_sound_store_has_no_damage(store: SliceStore) -> None:
    checks = list(check_series(store))
    assert [check.series_id for check in checks] == store.series_ids
    assert sum(check.slices for check in checks) == 9
    assert not any(check.damaged for check in checks)


def test_damaged_slices_are_found_and_named(store: SliceStore) -> None:
    damage(store, 5)
    damaged = [check for check in check_series(store) if check.damaged]
    assert [(check.series_id, check.damaged) for check in damaged] == [("series-b2", (2,))]
    assert "Slice 2 of series series-b2" in damaged[0].reasons[0]


def test_an_index_that_was_changed_is_found(store: SliceStore) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    slices = read_table(store.path, "slices")
    patients = ["patient-xx" if number == 3 else value for number, value in enumerate(slices["patient_id"].to_pylist())]
    place = slices.column_names.index("patient_id")
    file = store.path / "index" / "slices-00000001.parquet"
    pq.write_table(slices.set_column(place, "patient_id", pa.array(patients)), file)
    with pytest.raises(SliceStoreError, match=r"slices-00000001.parquet is damaged \(its checksum does not match\)"):
        list(check_series(store))
    reseal(store.path)
    damaged = [check for check in check_series(store) if check.damaged]
    assert [(check.series_id, check.damaged) for check in damaged] == [("series-b2", (0, 1, 2))]
    assert "does not belong to its pixels" in damaged[0].reasons[0]


def test_readers_pass_over_slices_that_were_set_aside(store: SliceStore) -> None:
    damage(store, 5)
    set_aside(store, check_series(store))
    reader = SliceStore(store.path)
    assert len(reader) == len(reader.index) == 8
    np.testing.assert_array_equal(reader.read(5), pixels_of("series-c3")[0])
    assert reader.index.series_id[5] == "series-c3"
    assert reader.content_hash != store.content_hash


def test_slices_come_back_once_they_are_restored(store: SliceStore) -> None:
    whole = series_file(store.path, "series-b2").read_bytes()
    damage(store, 5)
    set_aside(store, check_series(store))
    series_file(store.path, "series-b2").write_bytes(whole)
    set_aside(store, check_series(store))
    assert SliceStore(store.path).content_hash == store.content_hash


def test_nothing_is_set_aside_while_somebody_writes(store: SliceStore) -> None:
    with (
        SliceStoreWriter.open(store.path, source_kind="ct"),
        pytest.raises(SliceStoreError, match="is being written already"),
    ):
        set_aside(store, [])


def test_a_damaged_list_of_what_was_set_aside_is_refused(store: SliceStore) -> None:
    (store.path / "set_aside.json").write_text("[[1]]")
    with pytest.raises(SliceStoreError, match=r"set_aside.json is damaged .* delete it"):
        SliceStore(store.path)
