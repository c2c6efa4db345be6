"""A source that others change meanwhile, and parts of it that may not be read."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.dicom_files import ct_slice, ramp, write, write_series
from monai_ext.data.ingestion import ingestion_run, source_reader
from monai_ext.data.ingestion.ingest import ingest, list_skipped
from monai_ext.data.ingestion.source_files import SourceFile, list_source
from monai_ext.data.store.reader import SliceStore

NOBODY = 65534


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(3):
        write_series(tmp_path / "source" / f"{number}", slices=3, series=f"{number}")
    return tmp_path / "source"


def change_after_listing(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Let somebody change the source once it was listed and before it is read."""

    def listed(folder: Path, **options: Any) -> Iterator[SourceFile]:
        found = list(list_source(folder, **options))
        change()
        return iter(found)

    monkeypatch.setattr(ingestion_run, "list_source", listed)


def change_between_header_and_pixels(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Let somebody change the source once all headers were looked at."""
    found = ingestion_run.IngestionRun._find_series

    def looked(self: Any, files: Any) -> Any:
        units = found(self, files)
        change()
        return units

    monkeypatch.setattr(ingestion_run.IngestionRun, "_find_series", looked)


@pytest.mark.parametrize("when", [change_after_listing, change_between_header_and_pixels])
def test_files_that_vanish_are_counted_and_the_others_stored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: Any
) -> None:
    gone = sorted((source / "1").iterdir())[1:]
    when(monkeypatch, lambda: [file.unlink() for file in gone])
    report = ingest(source, tmp_path / "store", workers=1)
    assert (report.files, report.stored, dict(report.skipped)) == (9, 7, {"unreadable": 2})
    assert len(SliceStore(tmp_path / "store")) == 7


@pytest.mark.parametrize("when", [change_after_listing, change_between_header_and_pixels])
def test_a_file_that_is_replaced_is_what_it_is_when_it_is_read_and_is_looked_at_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: Any
) -> None:
    file = sorted((source / "1").iterdir())[0]

    def replace() -> None:
        write(ct_slice(50.0, series="another", values=ramp(start=1500)), file)

    with monkeypatch.context() as patched:
        when(patched, replace)
        report = ingest(source, tmp_path / "store", workers=1)
    assert report.files == report.stored + sum(report.skipped.values()) == 9
    again = ingest(source, tmp_path / "store", workers=1)
    assert again.files == again.stored + sum(again.skipped.values()) == 9
    store = SliceStore(tmp_path / "store")
    assert [int(store.read(index)[0, 0]) for index in range(len(store))].count(1500 - 1024) == 1
    assert len(store) == 9


@pytest.mark.parametrize("by", [b"\0", b"more" * 10_000])
def test_a_file_that_grows_is_read_as_far_as_it_says(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: bytes
) -> None:
    file = sorted((source / "1").iterdir())[0]

    def grow() -> None:
        with open(file, "ab") as stream:
            stream.write(by)

    change_between_header_and_pixels(monkeypatch, grow)
    report = ingest(source, tmp_path / "store", workers=1)
    assert report.files == report.stored + sum(report.skipped.values()) == 9
    assert report.stored >= 8


def test_a_file_that_is_still_being_copied_is_stored_by_the_next_run(source: Path, tmp_path: Path) -> None:
    file = sorted((source / "1").iterdir())[0]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) - 20])
    first = ingest(source, tmp_path / "store", workers=1)
    assert (first.stored, sum(first.skipped.values())) == (8, 1)
    file.write_bytes(whole)
    second = ingest(source, tmp_path / "store", workers=1)
    assert (second.stored, second.new_slices) == (9, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="becomes another user")
def test_what_may_not_be_read_is_counted_and_read_once_it_may_be(source: Path, tmp_path: Path) -> None:
    file = sorted((source / "1").iterdir())[0]
    file.chmod(0)
    (source / "2").chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:3]):  # one more where tests run in several processes
        if folder.name.startswith(("test_", "popen-", "pytest-")):
            folder.chmod(0o755)
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out").chmod(0o777)
    key = tmp_path / "out" / "pseudonym.key"

    def as_nobody() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        report = ingest(source, tmp_path / "out" / "store", workers=1, key_file=key)
        skipped = dict(list_skipped_names(source, tmp_path / "out" / "store", key))
        seen = (report.files, report.stored, skipped)
        os._exit(0 if seen == (7, 5, {file.relative_to(source).as_posix(): "unreadable", "2": "unreadable"}) else 3)

    child = os.fork()
    if child == 0:
        signal.alarm(120)
        try:
            as_nobody()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    file.chmod(0o644)
    (source / "2").chmod(0o755)
    assert os.waitstatus_to_exitcode(status) == 0
    assert ingest(source, tmp_path / "out" / "store", workers=1, key_file=key).stored == 9


def list_skipped_names(source: Path, store: Path, key: Path) -> list[tuple[str, str]]:
    return [(name, reason.value) for name, reason, _ in list_skipped(source, store, key_file=key)]


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed_for_memory_costs_at_most_the_file_it_read(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The system's choice may have fallen on it by chance: its file is tried once more."""
    reading, deaths = source_reader.SourceReader.__call__, tmp_path / "deaths"
    deaths.touch()

    def doomed(self: Any, task: Any) -> Iterator[Any]:
        is_meant = task.kind == "dicom" and any(file.name.startswith("1/") for file in task.files)
        if is_meant and len(deaths.read_bytes()) < times:
            with open(deaths, "ab") as file:
                file.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
        yield from reading(self, task)

    monkeypatch.setattr(source_reader.SourceReader, "__call__", doomed)
    report = ingest(source, tmp_path / "store", workers=1)
    expected = (9, {}) if times == 1 else (6, {"crash": 3})
    assert (report.stored, dict(report.skipped)) == expected
    monkeypatch.undo()
    again = ingest(source, tmp_path / "store", workers=1, retry_failed=True)
    assert (again.stored, dict(again.skipped)) == (9, {})
