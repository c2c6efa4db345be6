"""One run of an ingestion: what is new is found, read by workers, and stored series by series."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.ledger import Ledger, LedgerEntry
from monai_ext.data.ingestion.messages import FileRef, Finished, Message, SeriesFound, Stack, Task
from monai_ext.data.ingestion.outcomes import STORED, Outcome
from monai_ext.data.ingestion.progress import Progress
from monai_ext.data.ingestion.report import IngestReport
from monai_ext.data.ingestion.source_files import SourceFile, list_source
from monai_ext.data.ingestion.stack_making import file_unit, series_key
from monai_ext.data.ingestion.worker_pool import WorkerPool
from monai_ext.data.percentiles import PercentileScale
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.data.store.reader import SliceStore
from monai_ext.data.store.writer import PackedEntry, SliceStoreWriter

__all__ = ["IngestionRun", "file_hash", "known_reason"]

_FILES_A_SCAN = 128
_FEWEST_PICTURES, _MOST_PICTURES, _TASKS = 64, 1024, 4
_OUTCOMES_AT_ONCE = 1024
_SERIES_AT_ONCE, _BYTES_AT_ONCE, _SECONDS_AT_ONCE = 256, 2**25, 2.0
"""Stacks are stored together, since a disk is waited for as long for many as for one; a kill costs so much work."""
_FITTING = {"ct": ("dicom", "volume"), "mr": ("dicom", "volume"), "picture": ("picture",)}


class IngestionRun:
    """Brings a store up to date with a source. Only this process writes, so a crash leaves whole series.

    Args:
        source: folder or file to read.
        writer: the store.
        ledger: what became of files so far.
        pool: who reads.
        pseudonyms: makes ids.
    """

    def __init__(
        self, source: Path, *, writer: SliceStoreWriter, ledger: Ledger, pool: WorkerPool, pseudonyms: Pseudonyms
    ) -> None:
        self._source, self._writer, self._ledger, self._pool = source, writer, ledger, pool
        self._pseudonyms = pseudonyms
        self._unrecorded: list[tuple[bytes, Outcome]] = []
        self._waiting: dict[str, Stack] = {}
        self._waiting_bytes, self._waiting_since_s = 0, 0.0
        self._progress: Progress | None = None
        self._scales: dict[str, PercentileScale] = {}
        self.report = IngestReport(writer.source_kind)

    def bring_up_to_date(self, *, apart_from: tuple[Path, ...]) -> None:
        """Store everything that is new; ``report`` says what was done, also when this raises.

        Raises:
            SliceStoreError: the store cannot be continued, see :meth:`~monai_ext.data.store.reader.SliceStore.scales`.
        """
        self._scales = SliceStore(self._writer.path).scales()
        new = self._list(apart_from)
        self.report.looked_at = sum(map(len, new.values()))
        try:
            units = self._find_series(new["dicom"])
            left = sum(map(len, units.values())) + len(new["volume"]) + len(new["picture"])
            with Progress(left, doing="Reading") as self._progress:
                for task, message in self._pool.run(self._tasks(units, new)):
                    self._take(task, message)
                self._store_waiting()
        finally:
            self._record()

    def _list(self, apart_from: tuple[Path, ...]) -> dict[str, list[FileRef]]:
        """Count every file of the source; returns those that have to be read, by kind."""
        new: dict[str, list[FileRef]] = {"dicom": [], "volume": [], "picture": []}
        for file in list_source(self._source, apart_from=apart_from):
            self.report.files += 1
            reason = known_reason(file, self.report.source_kind)
            hashed = file_hash(file, self._pseudonyms)
            outcome = Outcome(reason.value) if reason is not None else self._ledger.outcome(hashed)
            if outcome is not None:
                self.report.count(outcome)
            else:
                new[file.kind].append(FileRef(hashed, file.name))
        return new

    def _find_series(self, files: list[FileRef]) -> dict[bytes, list[FileRef]]:
        """Sort DICOM files by series; files without one are kept together, to be refused one by one."""
        by_file = {reference.file: reference for reference in files}
        units: dict[bytes, list[FileRef]] = {}
        scans = (Task("scan", files[at : at + _FILES_A_SCAN]) for at in range(0, len(files), _FILES_A_SCAN))
        with Progress(len(files), doing="Looking at headers") as self._progress:
            for task, message in self._pool.run(scans):
                if isinstance(message, SeriesFound):
                    task.drop(message.file)
                    units.setdefault(message.unit, []).append(by_file[message.file])
                    self._progress.advance(files=1)
                elif isinstance(message, Finished):
                    self._settle(message.file, message.outcome)
        return units

    def _tasks(self, units: dict[bytes, list[FileRef]], new: dict[str, list[FileRef]]) -> Iterator[Task]:
        for unit, files in sorted(units.items(), key=lambda item: item[1][0].name):
            ordered, stored = sorted(files, key=lambda reference: reference.name), self._ledger.instances(unit)
            yield Task("dicom", ordered, unit, stored, scales=dict(self._scales) if stored else {})
        for kind, together in (("volume", 1), ("picture", _pictures_a_task(len(new["picture"])))):
            for at in range(0, len(new[kind]), together):
                files = new[kind][at : at + together]
                stored = {}
                for reference in files:
                    stored.update(self._ledger.instances(file_unit(reference.name, self._pseudonyms)))
                yield Task(kind, files, stored=stored)

    def _take(self, task: Task, message: Message) -> None:
        if isinstance(message, Finished):
            self._settle(message.file, message.outcome)
        elif isinstance(message, Stack):
            task.stored.update(message.instances)
            scale = PercentileScale.of_provenance(message.provenance)
            if scale is not None:  # the rest of the series, should its worker die, and what comes later, is on it too
                task.scales.setdefault(series_key(message.series, self._pseudonyms), scale)
            for file in message.completes:
                task.drop(file)
            self._wait_for_others(message)
        if self._waiting and time.monotonic() - self._waiting_since_s >= _SECONDS_AT_ONCE:
            self._store_waiting()

    def _wait_for_others(self, stack: Stack) -> None:
        """Keep a stack until there are enough to be stored together."""
        part = 1
        while self._is_known(key := series_key(stack.series, self._pseudonyms, part=part)):
            part += 1
        stack.provenance["part"] = part
        if not self._waiting:
            self._waiting_since_s = time.monotonic()
        self._waiting[key] = stack
        self._waiting_bytes += len(stack.content.frame)
        if len(self._waiting) >= _SERIES_AT_ONCE or self._waiting_bytes >= _BYTES_AT_ONCE:
            self._store_waiting()

    def _is_known(self, key: str) -> bool:
        return key in self._waiting or self._writer.has_series(key)

    def _store_waiting(self) -> None:
        """Store what waits, all of it or nothing. Files count as stored afterwards and not before."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        if not waiting:
            return
        outcomes, self._unrecorded = self._unrecorded, []
        entries = [
            LedgerEntry(key, stack.units, stack.instances, len(stack.content.rows), stack.provenance["findings"])
            for key, stack in waiting.items()
        ]
        with self._ledger.adding(entries, outcomes=outcomes):
            self._writer.add_together(
                [PackedEntry(key, stack.content, stack.provenance) for key, stack in waiting.items()]
            )
        for stack in waiting.values():
            self._count(stack)

    def _count(self, stack: Stack) -> None:
        slices = len(stack.content.rows)
        self.report.new_series += 1
        self.report.new_slices += slices
        if self._progress is not None:
            self._progress.advance(slices=slices)
        for file in stack.completes:
            self._settle(file, Outcome(STORED))

    def _settle(self, file: bytes, outcome: Outcome) -> None:
        self.report.count(outcome)
        self._unrecorded.append((file, outcome))
        if len(self._unrecorded) >= _OUTCOMES_AT_ONCE:
            self._record()
        if self._progress is not None:
            self._progress.advance(files=1)

    def _record(self) -> None:
        unrecorded, self._unrecorded = self._unrecorded, []
        if unrecorded:
            self._ledger.record(unrecorded)


def _pictures_a_task(pictures: int) -> int:
    """Tasks of one size, so that workers finish together; the same for any number of workers, as tasks make series."""
    rounds = -(-pictures // (_TASKS * _MOST_PICTURES))
    return max(_FEWEST_PICTURES, -(-pictures // (_TASKS * max(1, rounds))))


def file_hash(file: SourceFile, pseudonyms: Pseudonyms) -> bytes:
    """Identifies a file by its name, size and time of change, without showing them."""
    return pseudonyms.digest("file", file.name, file.size, file.changed_ns)


def known_reason(file: SourceFile, source_kind: str) -> SkipReason | None:
    """Why a file does not have to be opened, None when it has to."""
    if file.reason is not None:
        return file.reason
    return None if file.kind in _FITTING[source_kind] else SkipReason.OTHER_KIND
