"""What cannot be read or must not be mixed is refused with a sentence, or costs only itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from helpers.dicom_files import ct_slice, write, write_series
from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.data.ingestion.dicom_stacks import DicomStacks
from monai_ext.data.ingestion.ingest import IngestOptions, IngestReport, ingest, list_skipped
from monai_ext.data.store.reader import SliceStoreWriter
from monai_ext.errors import DatasetError, SliceStoreError


def run(source: Path, **arguments: Any) -> IngestReport:
    """Ingest into ``store`` beside the source with one worker."""
    return ingest(source, source.parent / "store", **{"workers": 1} | arguments)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two series of two patients, a localizer, and a note."""
    folder = tmp_path / "source"
    write_series(folder / "one", slices=4, series="a")
    write_series(folder / "two" / "deep", slices=3, series="b")
    write(ct_slice(0.0, series="c", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), folder / "two" / "scout")
    (folder / "notes.txt").write_text("a note")
    return folder


def test_a_file_that_may_not_be_read_is_tried_again_next_time(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, path: Path, name: str) -> Any:
        if name.startswith("one/"):
            raise PermissionError(13, "Permission denied")
        return look_at(self, path, name)

    look_at = DicomStacks._look_at
    with monkeypatch.context() as patched:
        patched.setattr(DicomStacks, "_look_at", refuse)
        assert run(source).skipped["unreadable"] == 4
    assert run(source).stored == 7


@pytest.mark.parametrize(
    ("misdeed", "reason"),
    [
        (lambda: os._exit(11), "crash"),
        (lambda: os.kill(os.getpid(), 9), "crash"),
        (lambda: __import__("time").sleep(60), "timeout"),
        (lambda: np.ones(2**40, np.uint8), "out_of_memory"),
        (lambda: int("SECRET"), "damaged"),
    ],
    ids=["exit", "kill", "hang", "memory", "error"],
)
def test_a_file_that_ruins_its_worker_costs_only_itself(
    source: Path, monkeypatch: pytest.MonkeyPatch, misdeed: Any, reason: str
) -> None:
    def ruin(self: Any, image: Any) -> Any:
        if image.name.startswith("two/") and image.position_mm == 2.5:
            misdeed()
        return decode(self, image)

    decode = SliceReader.decode
    monkeypatch.setattr(SliceReader, "decode", ruin)
    timeout_s = 2.0 if reason == "timeout" else 100.0
    report = run(source, options=IngestOptions(file_timeout_s=timeout_s), workers=2)
    assert (report.stored, report.skipped[reason]) == (6, 1)
    assert run(source).looked_at == 0


def test_files_that_failed_are_read_again_on_demand(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = SliceReader.decode
    monkeypatch.setattr(SliceReader, "decode", lambda *_, **__: os._exit(1))
    with pytest.raises(DatasetError, match="7  crash"):
        run(source)
    monkeypatch.setattr(SliceReader, "decode", decode)
    assert run(source, retry_failed=True).stored == 7


def test_an_empty_source_is_refused_and_no_store_made(tmp_path: Path) -> None:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    with pytest.raises(DatasetError, match="is empty: name a folder with DICOM"):
        run(tmp_path / "source")
    assert not (tmp_path / "store").exists()


def test_a_source_without_ct_says_what_is_there(tmp_path: Path) -> None:
    write(ct_slice(Modality="PT"), tmp_path / "source" / "x")
    (tmp_path / "source" / "study.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DatasetError, match="could be stored") as raised:
        run(tmp_path / "source")
    assert "other_modality: its modality was not asked for" in str(raised.value)
    assert "archive: it is an archive: unpack it" in str(raised.value)


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        run(tmp_path / "source")


def test_a_dicomdir_as_source_is_explained(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    dataset.SpecificCharacterSet = "ISO_IR 100"
    with pytest.raises(DatasetError, match="dicomdir: it is a DICOMDIR: it lists files"):
        ingest(write(dataset, tmp_path / "DICOMDIR"), tmp_path / "store", workers=1)


def test_a_store_is_no_source(source: Path) -> None:
    run(source)
    with pytest.raises(DatasetError, match="is a slice store already"):
        ingest(source.parent / "store", source.parent / "other", workers=1)


def test_a_store_within_the_source_is_left_out(source: Path) -> None:
    for _ in range(2):
        report = ingest(source, source / "store", workers=1)
        assert report.files == 9
    other = ingest(source, source.parent / "other", workers=1)
    assert (other.files, other.skipped["slice_store"]) == (12, 1)


def test_a_source_within_the_store_is_refused(source: Path) -> None:
    with pytest.raises(DatasetError, match="lies within the store"):
        ingest(source / "one", source, workers=1)


def test_a_folder_with_other_files_does_not_become_a_store(source: Path) -> None:
    (source.parent / "store").mkdir()
    (source.parent / "store" / "thesis.tex").write_text("precious")
    with pytest.raises(SliceStoreError, match="holds other files"):
        run(source)


def test_a_store_of_a_newer_format_is_refused(source: Path) -> None:
    run(source)
    manifest = source.parent / "store" / "slice_store.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 99}))
    with pytest.raises(SliceStoreError, match="format version 99"):
        run(source)


def test_a_second_writer_is_refused(source: Path) -> None:
    with (
        SliceStoreWriter.open(source.parent / "store", source_kind="ct"),
        pytest.raises(SliceStoreError, match="being written"),
    ):
        run(source)


def test_skipped_files_of_a_store_without_ledger_are_unknown(source: Path) -> None:
    run(source)
    shutil.rmtree(source.parent / "store.ingest")
    with pytest.raises(SliceStoreError, match=r"store\.ingest is lost"):
        next(list_skipped(source, source.parent / "store"))


def test_another_kind_is_refused(source: Path) -> None:
    run(source)
    with pytest.raises(SliceStoreError, match="write another store"):
        run(source, source_kind="picture")


def test_another_key_is_refused(source: Path) -> None:
    run(source)
    with pytest.raises(SliceStoreError, match="another key for pseudonyms"):
        run(source, key_file=source.parent / "new.key")


def test_a_key_within_the_store_is_refused(source: Path) -> None:
    with pytest.raises(DatasetError, match="would get the key"):
        run(source, key_file=source.parent / "store" / "pseudonym.key")


@pytest.mark.parametrize("lost", ["store", "store.ingest"])
def test_store_and_ledger_that_do_not_belong_together_are_refused(source: Path, lost: str) -> None:
    run(source)
    shutil.rmtree(source.parent / lost)
    with pytest.raises(SliceStoreError, match="do not belong together"):
        run(source)
