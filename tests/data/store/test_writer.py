"""Writing slice stores: all or nothing, one writer at a time, and nothing that could name a patient."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.slice_stores import SERIES, make_store, pixels_of, rows_of
from monai_ext.data.store import format as slice_store_format
from monai_ext.data.store import index as slice_store_index
from monai_ext.data.store import writer as slice_store_writer
from monai_ext.data.store.codec import pack_series
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.data.store.writer import PackedEntry
from monai_ext.errors import SliceStoreError
from monai_ext.files import write_durably

PIXELS = np.ones((2, 4, 4), np.int16)
ROWS = [{"patient_id": "patient-01"}] * 2


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power does not fail during tests; killed processes are tested, which need no syncing."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_store_is_continued_and_knows_its_series(path: Path) -> None:
    make_store(path, SERIES[:1])
    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        assert writer.has_series("series-a1")
        assert not writer.has_series("series-b2")
        writer.add_series("series-b2", pixels_of("series-b2"), rows_of("series-b2"), {})
    assert SliceStore(path).series_ids == ["series-a1", "series-b2"]


def test_merging_in_between_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_store_writer, "_MERGE_AFTER", 2)
    make_store(path)
    assert SliceStore(path).series_ids == list(SERIES)
    assert sorted(file.name for file in (path / "index").iterdir()) == [
        "series-00000002.parquet",
        "slices-00000002.parquet",
    ]
    assert not list((path / "pending").iterdir())


def test_readers_see_whole_series_while_a_writer_adds_and_merges(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_store_writer, "_MERGE_AFTER", 2)
    make_store(path, ())

    def add_many() -> None:
        with SliceStoreWriter.open(path, source_kind="ct") as writer:
            for number in range(15):
                writer.add_series(f"series-{number:04d}", PIXELS, ROWS, {})

    writer = multiprocessing.get_context("fork").Process(target=add_many)
    writer.start()
    counts = [0]
    while counts[-1] < 30 and writer.exitcode in (None, 0):
        counts.append(len(SliceStore(path).index))
    writer.join()
    assert counts[-1] == 30
    assert counts == sorted(counts)
    assert all(count % 2 == 0 for count in counts)


def test_a_series_is_stored_once(path: Path) -> None:
    make_store(path, SERIES[:1])
    with (
        SliceStoreWriter.open(path, source_kind="ct") as writer,
        pytest.raises(SliceStoreError, match="is in the store"),
    ):
        writer.add_series("series-a1", PIXELS, ROWS, {})


def _in_another_process(action: Callable[[], str]) -> tuple[int, str]:
    """Run ``action`` in a forked process; returns its exit code and what it returned."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(action()))
    process.start()
    sender.close()
    process.join(timeout=60)
    return process.exitcode, receiver.recv() if process.exitcode == 0 else ""


def test_a_second_writer_is_refused_in_the_same_process_and_in_another(path: Path) -> None:
    def try_to_write() -> str:
        with pytest.raises(SliceStoreError) as refusal:
            SliceStoreWriter.open(path, source_kind="ct")
        return str(refusal.value)

    with SliceStoreWriter.open(path, source_kind="ct"):
        with pytest.raises(SliceStoreError, match="being written already"):
            SliceStoreWriter.open(path, source_kind="ct")
        assert (
            f"is being written already: it is in use by process {os.getpid()} on"
            in _in_another_process(try_to_write)[1]
        )
    SliceStoreWriter.open(path, source_kind="ct").close()


def test_reading_the_lock_file_does_not_let_a_second_writer_in(path: Path) -> None:
    """A POSIX lock is gone as soon as its process closes any descriptor of the file: copying the store was enough."""

    def try_to_write() -> str:
        with pytest.raises(SliceStoreError, match="being written already"):
            SliceStoreWriter.open(path, source_kind="ct")
        return "refused"

    with SliceStoreWriter.open(path, source_kind="ct"):
        (path / "writer.lock").read_bytes()
        assert _in_another_process(try_to_write)[1] == "refused"
    assert not (path / "writer.lock").exists()


def test_the_lock_ends_with_its_process(path: Path) -> None:
    def die_while_writing() -> str:
        SliceStoreWriter.open(path, source_kind="ct")
        os.kill(os.getpid(), signal.SIGKILL)
        return "not reached"

    assert _in_another_process(die_while_writing)[0] == -signal.SIGKILL
    SliceStoreWriter.open(path, source_kind="ct").close()


@pytest.mark.parametrize("moment", range(1, 10))
def test_after_a_kill_the_store_holds_whole_series_and_is_continued(path: Path, moment: int) -> None:
    """Three series are two files each, closing writes the two tables and the manifest: killed before each of them."""
    SliceStoreWriter.open(path, source_kind="ct").close()

    def write_until_killed() -> str:
        moments = itertools.count(1)

        def write(file: Path, content: bytes, **options: bool) -> None:
            if next(moments) == moment:
                file.with_name(f"{file.name}.1.tmp").write_bytes(bytes(content)[:50])
                os.kill(os.getpid(), signal.SIGKILL)
            write_durably(file, content, **options)

        for module in (slice_store_writer, slice_store_index, slice_store_format):
            module.write_durably = write
        slice_store_writer.write_together = lambda files, **options: [write(*file, **options) for file in files]
        make_store(path)
        return "not reached"

    assert _in_another_process(write_until_killed)[0] == -signal.SIGKILL
    stored = SliceStore(path).series_ids
    assert stored == list(SERIES[: (moment - 1) // 2])
    make_store(path, tuple(name for name in SERIES if name not in stored))
    store = SliceStore(path)
    for index in range(9):
        np.testing.assert_array_equal(store.read(index), pixels_of(SERIES[index // 3])[index % 3])
    assert not list(path.rglob("*.tmp"))


def test_pixels_without_a_committed_series_are_cleared_away(path: Path) -> None:
    make_store(path, SERIES[:1])
    orphan = path / "series" / "se" / "series-b2.b2nd"
    orphan.write_bytes(b"cut")
    make_store(path, SERIES[1:])
    np.testing.assert_array_equal(SliceStore(path).read(5), pixels_of("series-b2")[2])


def test_a_full_disk_leaves_the_store_valid(path: Path) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (1, 300, 300)).astype(np.int16)

    def write_on_a_full_disk() -> str:
        with SliceStoreWriter.open(path, source_kind="ct") as writer:
            writer.add_series("series-a1", noise[:, :50, :50], ROWS[:1], {})
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            with pytest.raises(SliceStoreError) as refusal:
                writer.add_series("series-b2", noise, ROWS[:1], {})
            writer.add_series("series-c3", noise[:, :50, :50], ROWS[:1], {})
        return str(refusal.value)

    assert "the disk is full: make room and start again" in _in_another_process(write_on_a_full_disk)[1]
    assert SliceStore(path).series_ids == ["series-a1", "series-c3"]
    assert not [*path.rglob("*.tmp"), *path.rglob("series-b2*")]


def test_a_folder_with_other_files_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SliceStoreError, match="holds other files"):
        SliceStoreWriter.open(tmp_path, source_kind="ct")
    with pytest.raises(SliceStoreError, match="is a file"):
        SliceStoreWriter.open(tmp_path / "notes.txt", source_kind="ct")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SliceStoreError, match="Permission denied"):
        SliceStoreWriter.open(tmp_path / "store", source_kind="ct")


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SliceStoreError, match="cannot be opened for writing"):
        SliceStoreWriter.open(tmp_path / "file" / "store", source_kind="ct")


def test_another_source_kind_is_refused(path: Path) -> None:
    make_store(path, SERIES[:1])
    with pytest.raises(SliceStoreError, match="holds slices of kind 'ct', and 'mr'"):
        SliceStoreWriter.open(path, source_kind="mr")
    with pytest.raises(SliceStoreError, match="no source kind 'xray'; the kinds are ct, mr, picture"):
        SliceStoreWriter.open(path, source_kind="xray")


@pytest.mark.parametrize(
    "pixels", [PIXELS[0], PIXELS[:0], PIXELS.astype(np.float32), PIXELS.astype(np.uint8)], ids=lambda p: str(p.dtype)
)
def test_pixels_of_another_shape_or_type_are_refused(path: Path, pixels: np.ndarray) -> None:
    with (
        SliceStoreWriter.open(path, source_kind="ct") as writer,
        pytest.raises(SliceStoreError, match=r"takes \(n, rows, columns\).* int16"),
    ):
        writer.add_series("series-a1", pixels, ROWS, {})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:1], "2 slices but 1 rows"),
        ([{}, {}], "has no patient_id"),
        ([{**ROWS[0], "patient_name": "x"}] * 2, "no column 'patient_name'; its columns are patient_id"),
        ([{**ROWS[0], "slice_number": 3}] * 2, "no column 'slice_number'"),
        ([{**ROWS[0], "position_mm": "high"}] * 2, "column position_mm"),
        ([{"patient_id": "DOE^JOHN 1950"}] * 2, "column patient_id"),
        ([{**ROWS[0], "kernel": "Doe, John"}] * 2, "column kernel"),
        ([{**ROWS[0], "body_part": "20200131"}] * 2, "column body_part"),
    ],
)
def test_rows_that_do_not_fit_are_refused_without_repeating_them(
    path: Path, rows: list[dict[str, object]], message: str
) -> None:
    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        with pytest.raises(SliceStoreError, match=message) as refusal:
            writer.add_series("series-a1", PIXELS, rows, {})
        assert not writer.has_series("series-a1")
    for identity in ("DOE", "Doe", "20200131"):
        assert identity not in str(refusal.value)


def test_numbers_that_are_unknown_are_kept_as_missing(path: Path) -> None:
    rows = [{**ROWS[0], "position_mm": float("nan"), "kernel": None}, {**ROWS[0], "position_mm": np.float32(2.5)}]
    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        writer.add_series("series-a1", PIXELS, rows, {})
    assert SliceStore(path).columns(["position_mm", "kernel"]).column("position_mm").to_pylist() == [None, 2.5]


@pytest.mark.parametrize("key", ["1.2.840.113619.2.1", "Doe John", "short", "x" * 65, "../../escape"])
def test_a_series_key_that_could_identify_is_refused_and_not_repeated(path: Path, key: str) -> None:
    with (
        SliceStoreWriter.open(path, source_kind="ct") as writer,
        pytest.raises(SliceStoreError, match="pass a pseudonym") as refusal,
    ):
        writer.add_series(key, PIXELS, ROWS, {})
    assert key not in str(refusal.value)


@pytest.mark.parametrize("value", ["Dr. Doe said so", "1.2.840.113619.2.55", {"a": 1}, ["fine", "not fine"]])
def test_provenance_takes_no_free_text(path: Path, value: object) -> None:
    with (
        SliceStoreWriter.open(path, source_kind="ct") as writer,
        pytest.raises(SliceStoreError, match="provenance 'note' cannot be stored"),
    ):
        writer.add_series("series-a1", PIXELS, ROWS, {"note": value})


def test_a_closed_writer_is_refused(path: Path) -> None:
    writer = SliceStoreWriter.open(path, source_kind="ct")
    writer.close()
    writer.close()
    with pytest.raises(SliceStoreError, match="was closed"):
        writer.add_series("series-a1", PIXELS, ROWS, {})


def _entry(name: str) -> PackedEntry:
    return PackedEntry(name, pack_series(pixels_of(name), rows_of(name)), {"files": 3})


def test_series_that_are_added_together_are_those_that_were_added_one_by_one(path: Path, tmp_path: Path) -> None:
    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        writer.add_together([_entry(name) for name in SERIES])
        pending = SliceStore(path)
        assert len(list((path / "pending").iterdir())) == 1
        np.testing.assert_array_equal(pending.read(5), pixels_of("series-b2")[2])
    expected = SliceStore(make_store(tmp_path / "one by one"))
    assert SliceStore(path).content_hash == pending.content_hash == expected.content_hash
    assert SliceStore(path).index.equals(expected.index)


def test_of_series_that_are_added_together_all_are_stored_or_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        entries = [_entry(name) for name in SERIES]
        with monkeypatch.context() as patched:
            patched.setattr(slice_store_writer, "write_durably", full)
            with pytest.raises(SliceStoreError, match="the disk is full"):
                writer.add_together(entries)
        assert not [*(path / "series").rglob("*.b2nd"), *(path / "pending").iterdir()]
        with pytest.raises(SliceStoreError, match="have one key"):
            writer.add_together([_entry("series-a1"), _entry("series-a1")])
        writer.add_together([])
        writer.add_together([_entry(name) for name in SERIES])
    assert len(SliceStore(path)) == 9


def test_a_store_is_for_its_owner_only(path: Path) -> None:
    before = os.umask(0o022)
    try:
        make_store(path, SERIES[:1])
        with SliceStoreWriter.open(path, source_kind="ct") as writer:
            writer.add_together([_entry(SERIES[1])])
            modes = {stat.S_IMODE(part.stat().st_mode) for part in [path, *path.rglob("*")] if part.is_dir()}
            assert modes == {0o700}
            assert {stat.S_IMODE(part.stat().st_mode) for part in path.rglob("*") if part.is_file()} == {0o600}
    finally:
        os.umask(before)


@pytest.mark.parametrize("part", ["series", "index", "pending", "series/se", "slice_store.json"])
def test_a_store_with_a_link_in_it_is_not_written_and_nothing_at_its_target_is_touched(path: Path, part: str) -> None:
    make_store(path, SERIES[:1])
    target = path.parent / "target"
    (path / part).rename(target)
    (path / part).symlink_to(target)
    if target.is_dir():
        (target / "theirs").mkdir()
        (target / "theirs" / "theirs.b2nd").write_bytes(b"mine")
    with pytest.raises(SliceStoreError, match=rf"{part} in it is a link, and what lies at its target might be deleted"):
        SliceStoreWriter.open(path, source_kind="ct")
    assert len(list(target.rglob("theirs.b2nd"))) == target.is_dir()
    assert len(SliceStore(path)) == 3  # reading does no harm


def test_a_store_that_is_a_link_as_a_whole_is_continued(path: Path, tmp_path: Path) -> None:
    make_store(path, SERIES[:1])
    (tmp_path / "link").symlink_to(path)
    make_store(tmp_path / "link", SERIES[1:])
    assert len(SliceStore(path)) == 9


def test_slices_larger_than_any_scanner_makes_are_refused(path: Path) -> None:
    with (
        SliceStoreWriter.open(path, source_kind="ct") as writer,
        pytest.raises(SliceStoreError, match="sides up to 16384"),
    ):
        writer.add_series("series-a1", np.zeros((1, 1, 16385), np.int16), ROWS[:1], {})
