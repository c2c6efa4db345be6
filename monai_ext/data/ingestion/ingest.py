"""Turns a folder of DICOM, volumes or pictures into a slice store: in parallel, continued after any interruption."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from monai_ext.data.dicom.header import has_dicom_mark
from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.ingestion_run import IngestionRun, file_hash, known_reason
from monai_ext.data.ingestion.ledger import Ledger
from monai_ext.data.ingestion.options import IngestFilter, IngestOptions
from monai_ext.data.ingestion.outcomes import STORED, Outcome
from monai_ext.data.ingestion.report import IngestReport
from monai_ext.data.ingestion.source_files import list_source
from monai_ext.data.ingestion.source_reader import SourceReader
from monai_ext.data.ingestion.worker_pool import WorkerPool
from monai_ext.data.pseudonyms import default_key_file, load_pseudonyms
from monai_ext.data.store.format import read_manifest
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter, is_slice_store
from monai_ext.errors import DatasetError, SliceStoreError

__all__ = ["IngestFilter", "IngestOptions", "IngestReport", "ingest", "ledger_folder", "list_skipped"]

_WORKER_BYTES = 2 * 2**30


def ingest(
    source: str | Path,
    store: str | Path,
    *,
    options: IngestOptions | None = None,
    source_kind: str | None = None,
    workers: int | None = None,
    key_file: str | Path | None = None,
    retry_failed: bool = False,
) -> IngestReport:
    """Bring a slice store up to date with a folder.

    Whatever is new is added; what is stored already is not read again. Interrupted at any moment, even killed, and
    started again, it continues with no slice twice and none lost. Hostile files (absurd sizes, compression bombs,
    streams that crash or hang a decoder) end as skipped files. What leaves this function carries no identity: ids are
    keyed hashes, text is kept as known codes only, and what the ledger beside the store remembers are hashes too.

    Args:
        source: folder with DICOM, volumes (NIfTI, MetaImage, NRRD) or pictures, nested as it comes, or one such file.
        store: folder of the store, made when it is not there; ``STORE.ingest`` beside it holds ledger and report.
        options: which series, which resolution, how patients are told apart.
        source_kind: ``"ct"``, ``"mr"`` or ``"picture"``; that of the store, of the filter or of the files when omitted.
        workers: processes that read; as many as there are processors when omitted.
        key_file: secret key of the pseudonyms, see
            :func:`~monai_ext.data.pseudonyms.default_key_file`; it stays with the user.
        retry_failed: read files again that took too long, crashed or needed too much memory in an earlier run.

    Returns:
        The report; it is saved beside the store, too.

    Raises:
        DatasetError: there is nothing to read, or an argument is wrong.
        SliceStoreError: the store cannot be written: somebody else does, it is of another kind, the disk is full.
    """
    options = options or IngestOptions()
    source, store = (Path(path).expanduser().absolute() for path in (source, store))
    _check_places(source, store, key_file)
    pseudonyms = load_pseudonyms(key_file)
    kind = source_kind or _choose_kind(source, store, options)
    if options.deface and kind != "ct":
        raise DatasetError(
            f"Faces are taken out of CT, by its Hounsfield units, and this is to be a store of kind {kind!r}: leave"
            " defacing out, or do it with another tool before."
        )
    started = time.monotonic()
    reader = SourceReader(_root(source), source_kind=kind, options=options, pseudonyms=pseudonyms)
    with (
        SliceStoreWriter.open(store, source_kind=kind) as writer,
        Ledger(ledger_folder(store) / "ledger.sqlite") as ledger,
    ):
        ledger.settle({"key": pseudonyms.of("check"), **options.lasting})
        _compare(ledger.recover(writer.has_series), store)
        ledger.forget_outcomes(filter_fingerprint=options.wanted.fingerprint, retry_failed=retry_failed)
        reader.load_libraries()
        with WorkerPool(
            reader,
            workers=workers or os.cpu_count() or 1,
            timeout_s=options.file_timeout_s,
            memory_bytes=_WORKER_BYTES + 3 * options.largest_part_bytes,  # pixels, compressed twice at worst
        ) as pool:
            run = IngestionRun(source, writer=writer, ledger=ledger, pool=pool, pseudonyms=pseudonyms)
            run.bring_up_to_date(apart_from=(store, ledger_folder(store)))
        report = run.report
        report.series, report.slices, report.findings = ledger.totals()
    report.seconds = time.monotonic() - started
    return _checked(report, source, store)


def list_skipped(
    source: str | Path, store: str | Path, *, key_file: str | Path | None = None
) -> Iterator[tuple[str, SkipReason, str]]:
    """Name the files of a source that are not in a store, with reason and detail: for the user's eyes.

    Names of files often identify patients, so they are written nowhere; whoever has source and key can list them.

    Args:
        source: what was ingested.
        store: into which store.
        key_file: key that it was ingested with.

    Raises:
        SliceStoreError: there is no such store, or it has no ledger.
    """
    source, store = (Path(path).expanduser().absolute() for path in (source, store))
    kind = read_manifest(store).source_kind
    pseudonyms = load_pseudonyms(key_file)
    if not ledger_folder(store).is_dir():
        raise SliceStoreError(f"The store {store} was not made by ingestion, or {ledger_folder(store)} is lost.")
    with Ledger(ledger_folder(store) / "ledger.sqlite") as ledger:
        ledger.settle({"key": pseudonyms.of("check")})
        for file in list_source(source, apart_from=(store, ledger_folder(store))):
            reason = known_reason(file, kind)
            outcome = Outcome(reason.value) if reason else ledger.outcome(file_hash(file, pseudonyms))
            if outcome is not None and outcome != STORED:
                yield file.name, SkipReason(str(outcome)), outcome.detail


def ledger_folder(store: str | Path) -> Path:
    """The folder beside a store that its ingestion keeps ledger and report in."""
    store = Path(store)
    return store.with_name(f"{store.name}.ingest")


def _checked(report: IngestReport, source: Path, store: Path) -> IngestReport:
    report.check()
    report.save(ledger_folder(store) / "report.json")
    if not report.slices:
        raise DatasetError(f"Nothing in {source} could be stored.\n{report.to_table()}")
    return report


def _check_places(source: Path, store: Path, key_file: str | Path | None) -> None:
    if not source.exists():
        raise DatasetError(f"The source {source} does not exist: name a folder with DICOM, volumes or pictures.")
    if source.is_dir() and is_slice_store(source):
        raise DatasetError(
            f"The source {source} is a slice store already: train from it, or name the folder that it was made from."
        )
    if source.resolve() == store.resolve() or store.resolve() in source.resolve().parents:
        raise DatasetError(f"The source {source} lies within the store {store}: name different folders.")
    if next(iter(list_source(source)), None) is None:
        raise DatasetError(f"The source {source} is empty: name a folder with DICOM, volumes or pictures.")
    key = (Path(key_file).expanduser() if key_file is not None else default_key_file()).resolve()
    if any(folder.resolve() in key.parents for folder in (store, ledger_folder(store))):
        raise DatasetError(
            f"The key {key} lies within the store: whoever gets the store would get the key. Keep it somewhere else."
        )


def _choose_kind(source: Path, store: Path, options: IngestOptions) -> str:
    if options.wanted.modality == ("MR",):
        return "mr"
    if store.is_dir() and is_slice_store(store):
        return read_manifest(store).source_kind
    has_pictures = False
    for file in list_source(source, apart_from=(store,)):
        is_dicom = file.reason is None and file.kind == "dicom" and has_dicom_mark(_root(source) / file.name)
        if is_dicom or (file.reason is None and file.kind == "volume"):
            return "ct"
        has_pictures |= file.kind == "picture"
    return "picture" if has_pictures else "ct"


def _root(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _compare(series: int, store: Path) -> None:
    """Refuse to continue when ledger and store do not belong together: slices would be stored twice or be missing."""
    stored = len(SliceStore(store).series_ids)
    if stored != series:
        raise SliceStoreError(
            f"The store {store} has {stored} series, but its ledger {ledger_folder(store)} knows of {series}: they do"
            " not belong together. Restore the missing one from a copy, or delete both and ingest again."
        )
