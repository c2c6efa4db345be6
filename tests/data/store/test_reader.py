"""Reading slice stores: the values that were written, from any process, and sentences about damage."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fuzz.store_fuzz import make_original
from helpers.slice_stores import SERIES, make_store, pixels_of, reseal, rows_of
from monai_ext.data.store.format import series_file
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter, is_slice_store
from monai_ext.errors import SliceStoreError


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power does not fail during tests; killed processes are tested, which need no syncing."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    return SliceStore(make_store(tmp_path / "store"))


def test_every_slice_reads_back_as_it_was_written(store: SliceStore) -> None:
    assert len(store) == 9
    for index in range(9):
        np.testing.assert_array_equal(store.read(index), pixels_of(SERIES[index // 3])[index % 3])
        assert store.read(index).dtype == np.int16


def test_extreme_values_and_large_slices_survive(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(-32768, 32768, (2, 300, 260)).astype(np.int16)
    with SliceStoreWriter.open(tmp_path / "store", source_kind="mr") as writer:
        writer.add_series("series-x", pixels, rows_of("series-x", slices=2), {})
    np.testing.assert_array_equal(SliceStore(tmp_path / "store").read(1), pixels[1])


def test_pictures_are_kept_as_gray_levels_of_eight_bits(tmp_path: Path) -> None:
    store = SliceStore(make_store(tmp_path / "store", source_kind="picture"))
    assert store.source_kind == "picture"
    assert store.read(5).dtype == np.uint8
    np.testing.assert_array_equal(store.read(5), pixels_of("series-b2", dtype=np.uint8)[2])


def test_the_index_describes_the_slice_of_the_same_number(store: SliceStore) -> None:
    row = store.index.iloc[4]
    assert (row.series_id, row.slice_number, row.patient_id) == ("series-b2", 1, "patient-b2")
    assert (row.position_mm, row.rows, row.columns) == (2.5, 21, 18)


def test_the_pixels_are_a_blosc2_array_with_one_chunk_a_slice(store: SliceStore) -> None:
    blosc2 = pytest.importorskip("blosc2")
    array = blosc2.open(series_file(store.path, "series-c3"))
    assert array.shape == (3, 22, 19)
    assert array.chunks == (1, 22, 19)
    np.testing.assert_array_equal(array[:], pixels_of("series-c3"))


def test_order_and_content_hash_do_not_depend_on_the_order_of_adding(tmp_path: Path, store: SliceStore) -> None:
    other = SliceStore(make_store(tmp_path / "other", SERIES[::-1]))
    assert other.series_ids == store.series_ids
    assert other.content_hash == store.content_hash


def test_the_content_hash_tells_values_and_patients_apart(tmp_path: Path) -> None:
    hashes = set()
    for name, value, patient in (("a", 5, "patient-01"), ("b", 6, "patient-01"), ("c", 5, "patient-02")):
        with SliceStoreWriter.open(tmp_path / name, source_kind="ct") as writer:
            writer.add_series("series-x", np.full((1, 4, 4), value, np.int16), [{"patient_id": patient}], {})
        hashes.add(SliceStore(tmp_path / name).content_hash)
    assert len(hashes) == 3


def _read_all(store: SliceStore, results: multiprocessing.Queue) -> None:
    results.put([int(store.read(index).astype(int).sum()) for index in range(len(store))])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_a_store_that_was_handed_to_them(store: SliceStore, method: str) -> None:
    expected = [int(store.read(index).astype(int).sum()) for index in range(len(store))]
    context = multiprocessing.get_context(method)
    results = context.Queue()
    worker = context.Process(target=_read_all, args=(store, results))
    worker.start()
    assert results.get(timeout=120) == expected
    worker.join()


def test_no_file_stays_open_between_two_reads(store: SliceStore) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    _ = store.read(0), store.index, store.content_hash
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_reader_is_not_disturbed_by_what_is_added_meanwhile(tmp_path: Path) -> None:
    store = SliceStore(make_store(tmp_path / "store", SERIES[1:]))
    content_hash = SliceStore(store.path).content_hash
    make_store(store.path, SERIES[:1])
    copied = pickle.loads(pickle.dumps(store))
    for reader in (store, copied):
        assert len(reader) == len(reader.index) == 6
        np.testing.assert_array_equal(reader.read(2), pixels_of("series-b2")[2])
        assert reader.content_hash == content_hash
    assert len(SliceStore(store.path)) == 9


def test_series_that_were_not_merged_yet_are_read_too(tmp_path: Path) -> None:
    make_store(tmp_path / "store", SERIES[1:2])
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        for name in (SERIES[2], SERIES[0]):
            writer.add_series(name, pixels_of(name), rows_of(name), {})
        pending = SliceStore(tmp_path / "store")
        index, content_hash = pending.index, pending.content_hash
        np.testing.assert_array_equal(pending.read(8), pixels_of("series-c3")[2])
    merged = SliceStore(tmp_path / "store")
    assert merged.index.equals(index)
    assert merged.content_hash == content_hash


def test_a_damaged_chunk_is_named_and_the_others_are_still_read(store: SliceStore) -> None:
    file = series_file(store.path, "series-b2")
    content = bytearray(file.read_bytes())
    content[int(store._chunks[0][5]) + 40] ^= 1
    file.write_bytes(content)
    with pytest.raises(SliceStoreError, match=r"Slice 2 of series series-b2 .* checksum .* --set-aside"):
        store.read(5)
    np.testing.assert_array_equal(store.read(4), pixels_of("series-b2")[1])


def test_whatever_happens_to_a_file_values_are_right_or_refused(store: SliceStore) -> None:
    """Flipped bits, cuts and overwritten parts anywhere in the file, its header and trailer too."""
    file = series_file(store.path, "series-b2")
    whole, generator = file.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        start, length = generator.integers(0, len(whole)), generator.integers(1, 60)
        content[start : start + length] = generator.bytes(length)
        file.write_bytes(content[: generator.integers(1, len(whole))] if generator.random() < 0.3 else content)
        for number in range(3):
            try:
                np.testing.assert_array_equal(store.read(3 + number), pixels_of("series-b2")[number])
            except SliceStoreError:
                refused += 1
    assert 0 < refused < 450


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_cut_or_missing_file_is_named(store: SliceStore, damage: str) -> None:
    file = series_file(store.path, "series-a1")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    else:
        file.unlink()
    with pytest.raises(SliceStoreError, match="Slice 2 of series series-a1"):
        store.read(2)


@pytest.mark.parametrize("index", [-1, 9])
def test_a_slice_that_is_not_there_is_refused(store: SliceStore, index: int) -> None:
    with pytest.raises(IndexError, match="slices 0 to 8"):
        store.read(index)


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    assert not is_slice_store(tmp_path)
    with pytest.raises(SliceStoreError, match=r"is no slice store.*monai_ext ingest"):
        SliceStore(tmp_path)


def test_a_store_of_a_newer_format_is_refused_by_readers_and_writers(store: SliceStore) -> None:
    reseal(store.path, version=2)
    with pytest.raises(SliceStoreError, match=r"version 2, .* up to 1: update monai_ext"):
        SliceStore(store.path)
    with pytest.raises(SliceStoreError, match="update monai_ext"):
        SliceStoreWriter.open(store.path, source_kind="ct")


@pytest.mark.parametrize(
    "changes", [{"generation": "x"}, {"version": None}, {"source_kind": "us"}, {"generation": 7}, {"index": 7}]
)
def test_a_damaged_manifest_is_refused(store: SliceStore, changes: dict[str, object]) -> None:
    reseal(store.path, **changes)
    with pytest.raises(SliceStoreError, match=r"cannot be (opened|read)"):
        SliceStore(store.path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_index_is_refused(store: SliceStore, content: bytes) -> None:
    next(store.path.glob("index/series-*.parquet")).write_bytes(content)
    with pytest.raises(SliceStoreError, match=r"series-00000001.parquet is damaged"):
        SliceStore(store.path)


def test_a_damaged_pending_series_is_refused(store: SliceStore) -> None:
    (store.path / "pending" / "series-d4.arrow").write_bytes(b"ARROW1 cut")
    with pytest.raises(SliceStoreError, match=r"series-d4.arrow is damaged"):
        SliceStore(store.path)


def test_an_empty_store_has_no_slices(tmp_path: Path) -> None:
    store = SliceStore(make_store(tmp_path / "store", ()))
    assert len(store) == len(store.index) == 0
    assert is_slice_store(store.path)


def _as_older_versions_wrote(store: Path) -> None:
    """No checksums, a list of what is set aside, and one series in a pending file that is named after it."""
    manifest = json.loads((store / "slice_store.json").read_text())
    for name in ("crc32", "index"):
        del manifest[name]
    (store / "slice_store.json").write_text(json.dumps(manifest))
    (store / "set_aside.json").write_text(json.dumps([["series-a1", 2]]))
    for file in (store / "pending").glob("*.arrow"):
        with pa.ipc.open_file(file.read_bytes()) as opened:
            table = opened.read_all()
        (series,) = json.loads(table.schema.metadata[b"series"])
        table = table.replace_schema_metadata({"series": json.dumps(series)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        file.unlink()
        file.with_name(f"{series['series_id']}.arrow").write_bytes(sink.getvalue())


def test_a_store_of_an_older_version_is_read_and_continued(tmp_path: Path) -> None:
    path = make_store(tmp_path / "store", SERIES[:1])
    writer = SliceStoreWriter.open(path, source_kind="ct")
    writer.add_series(SERIES[1], pixels_of(SERIES[1]), rows_of(SERIES[1]), {"files": 3})
    shutil.copytree(path, tmp_path / "killed")
    writer.close()
    _as_older_versions_wrote(tmp_path / "killed")
    for _ in range(2):
        store = SliceStore(tmp_path / "killed")
        assert len(store) == 5
        np.testing.assert_array_equal(store.read(4), pixels_of("series-b2")[2])
        SliceStoreWriter.open(store.path, source_kind="ct").close()
    assert "crc32" in json.loads((store.path / "slice_store.json").read_text())


def test_pending_series_that_are_compressed_are_refused(tmp_path: Path) -> None:
    store = make_original(tmp_path)
    (file,) = (store / "pending").glob("*.arrow")
    with pa.ipc.open_file(file.read_bytes()) as opened:
        table = opened.read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    file.unlink()
    (store / "pending" / "series-c3.arrow").write_bytes(sink.getvalue())
    with pytest.raises(SliceStoreError, match=r"series-c3.arrow is damaged \(it is compressed\)"):
        SliceStore(store)


def test_a_flipped_bit_in_manifest_or_index_is_named(store: SliceStore) -> None:
    for file in (store.path / "slice_store.json", *store.path.glob("index/*.parquet")):
        content = file.read_bytes()
        for place in np.random.default_rng(0).integers(0, len(content), 12):
            file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            with pytest.raises(SliceStoreError, match=r"damaged|no slice store|newer|version"):
                _ = SliceStore(store.path).index
        file.write_bytes(content)
    assert len(SliceStore(store.path).index) == 9
