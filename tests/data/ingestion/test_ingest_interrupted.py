"""An ingestion may die at any moment, by SIGKILL or on a full disk: continued, it gives the same store."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import psutil
import pytest
from PIL import Image

from helpers.dicom_files import ct_slice, write, write_series
from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.data.ingestion import ingestion_run
from monai_ext.data.ingestion.ingest import IngestOptions, ingest
from monai_ext.data.ingestion.ledger import Ledger
from monai_ext.data.store import format as slice_store_format
from monai_ext.data.store import index as slice_store_index
from monai_ext.data.store import writer as slice_store_writer
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import SliceStoreError

SLICES = 14


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(3):
        write_series(tmp_path / "source" / f"{number}", slices=4, series=f"{number}")
    (tmp_path / "source" / "note.txt").write_text("x")
    write_series(tmp_path / "source" / "3", slices=2, series="3")
    return tmp_path / "source"


def fork(action: Callable[[], Any]) -> int:
    """Run something in a child process and return its exit code."""
    child = multiprocessing.get_context("fork").Process(target=action)
    child.start()
    child.join(60)
    assert child.exitcode is not None
    return child.exitcode


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on count what is written (ledger and store), and kill this process before or after the given one."""
    counter = iter(range(1, 10**6))

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(counter) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if next(counter) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for owner, name in (
        (Ledger, "record"),
        (Ledger, "recover"),
        (Ledger, "settle"),
        (slice_store_writer.SliceStoreWriter, "add_together"),
        (slice_store_writer, "write_together"),
        (slice_store_format, "write_durably"),
        (slice_store_writer, "write_durably"),
        (slice_store_index, "write_durably"),
    ):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.parametrize("together", [1, 2])
def test_killed_at_any_step_it_continues_to_the_same_store(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(ingestion_run, "_SERIES_AT_ONCE", together)
    ingest(source, tmp_path / "reference", workers=1)
    expected = SliceStore(tmp_path / "reference").content_hash
    random.seed(0)
    steps = random.sample(range(3, 40 if together == 1 else 26), 6)
    deaths = 0
    for step in steps:
        store = tmp_path / f"store{step}"

        def doomed(step: int = step, store: Path = store) -> None:
            with pytest.MonkeyPatch.context() as patched:
                die_at(step, patched)
                ingest(source, store, workers=1)

        deaths += fork(doomed) == -signal.SIGKILL
        report = ingest(source, store, workers=1)
        opened = SliceStore(store)
        assert (report.slices, len(opened), report.stored, report.files) == (SLICES, SLICES, SLICES, SLICES + 1)
        assert opened.content_hash == expected
    assert deaths > len(steps) // 2


@pytest.mark.parametrize("kind", ["picture", "nifti"])
def test_files_that_were_stored_before_a_kill_count_as_stored(tmp_path: Path, kind: str) -> None:
    (tmp_path / "source").mkdir()
    for number in range(3):
        if kind == "picture":
            picture = Image.fromarray(np.full((8 + number, 9), 50 * number, np.uint8))
            picture.save(tmp_path / "source" / f"{number}.png")
        else:
            volume = nibabel.Nifti1Image(np.full((4, 5, 3), number - 500, np.int16), np.eye(4))
            nibabel.save(volume, tmp_path / "source" / f"{number}.nii")

    def doomed() -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Ledger, "record", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            ingest(tmp_path / "source", tmp_path / "store", workers=1)

    assert fork(doomed) == -signal.SIGKILL
    report = ingest(tmp_path / "source", tmp_path / "store", workers=1)
    assert (report.stored, dict(report.skipped), report.new_slices) == (3, {}, 0)


def test_killed_again_and_again_it_gets_done(source: Path, tmp_path: Path) -> None:
    ingest(source, tmp_path / "reference", workers=1)

    def doomed() -> None:
        with pytest.MonkeyPatch.context() as patched:
            die_at(17, patched)
            ingest(source, tmp_path / "store", workers=1)

    codes = [fork(doomed) for _ in range(8)]
    assert codes[0] == -signal.SIGKILL
    report = ingest(source, tmp_path / "store", workers=1)
    assert report.slices == SLICES
    assert SliceStore(tmp_path / "store").content_hash == SliceStore(tmp_path / "reference").content_hash


def test_workers_end_when_their_parent_is_killed(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SliceReader, "decode", lambda *_, **__: time.sleep(0.5) or np.zeros((8, 6)))
    child = multiprocessing.get_context("fork").Process(
        target=ingest, args=(source, tmp_path / "store"), kwargs={"workers": 3}
    )
    child.start()
    process = psutil.Process(child.pid)
    deadline = time.monotonic() + 20
    while len(process.children()) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = process.children()
    assert len(workers) == 3
    time.sleep(0.3)
    child.kill()
    child.join()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_on_a_full_disk_the_store_stays_valid_and_is_completed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion_run, "_SERIES_AT_ONCE", 1)
    noise = np.random.default_rng(0)
    for series, size in (("a", 16), ("b", 512)):
        values = noise.integers(0, 4096, (size, size)).astype(np.uint16)
        write(ct_slice(values=values, series=series), tmp_path / "source" / f"{series}.dcm")
    store = tmp_path / "store"

    def starved() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000))
        try:
            ingest(tmp_path / "source", store, workers=1)
        except SliceStoreError as error:
            os._exit(7 if "the disk is full" in str(error) else 8)

    assert fork(starved) == 7
    assert len(SliceStore(store)) == 1
    assert SliceStore(store).read(0).shape == (16, 16)
    report = ingest(tmp_path / "source", store, workers=1)
    assert (report.stored, report.slices, report.new_slices) == (2, 2, 1)


def test_an_error_after_a_series_was_stored_does_not_store_it_twice(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = slice_store_writer.SliceStoreWriter.add_together
    monkeypatch.setattr(ingestion_run, "_SERIES_AT_ONCE", 1)

    def interrupted(self: Any, *arguments: Any) -> None:
        add(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(slice_store_writer.SliceStoreWriter, "add_together", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ingest(source, tmp_path / "store", workers=1)
    report = ingest(source, tmp_path / "store", workers=1)
    assert (report.slices, report.new_slices) == (SLICES, SLICES - 4)


def test_memory_stays_bounded_by_the_size_of_a_part(tmp_path: Path) -> None:
    for number in range(24):
        write(ct_slice(float(number), values=np.zeros((512, 512), np.uint16)), tmp_path / "source" / f"{number}")

    def limited() -> None:
        with open("/proc/self/statm", encoding="ascii") as stream:
            in_use = int(stream.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**29, in_use + 2**29))
        ingest(tmp_path / "source", tmp_path / "store", options=IngestOptions(largest_part_bytes=2**21), workers=1)

    assert fork(limited) == 0
    assert len(SliceStore(tmp_path / "store")) == 24
