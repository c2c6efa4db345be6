"""Remembers what became of every file, so that an ingestion can be continued; it holds keyed hashes, no names."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.outcomes import Outcome
from monai_ext.data.store.format import FOLDER_MODE
from monai_ext.errors import SliceStoreError

__all__ = ["Ledger", "LedgerEntry"]

_RETRIED = (SkipReason.UNREADABLE, SkipReason.MISSING_CODEC)
_FAILED = (SkipReason.TIMEOUT, SkipReason.CRASH, SkipReason.OUT_OF_MEMORY, SkipReason.TOO_LARGE)
_DEPEND_ON_FILTER = (SkipReason.FILTERED, SkipReason.OTHER_MODALITY, SkipReason.NOT_HOUNSFIELD)
SYNCHRONOUS = "FULL"
"""A confirmed series survives a power failure."""

_TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS files (file BLOB PRIMARY KEY, outcome TEXT, detail TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instances (instance BLOB PRIMARY KEY, unit BLOB, file BLOB, series TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_of_unit ON instances (unit);
CREATE TABLE IF NOT EXISTS series (series TEXT PRIMARY KEY, slices INTEGER, complete INTEGER, findings TEXT);
"""


_SETTINGS_OF_OLDER_LEDGERS = {"deface": "false"}


@dataclass(frozen=True)
class LedgerEntry:
    """A series that is about to be stored.

    Args:
        series: its key in the store.
        units: what each object belongs to, in the order of ``instances``.
        instances: hash of each object, with the file it came from.
        slices: how many it has.
        findings: what is irregular about it.
    """

    series: str
    units: Sequence[bytes]
    instances: Mapping[bytes, bytes]
    slices: int
    findings: Iterable[str]


class Ledger:
    """What became of every file of a source, beside the store, in a SQLite database.

    Series are entered before they are added to the store and confirmed later; :meth:`recover` settles what a crash
    left in between by asking the store. Hence no slice is stored twice and none is lost, whenever the process dies.
    Only the owner can read it.

    Args:
        file: the database; made when it is not there.

    Raises:
        SliceStoreError: it cannot be opened, or a disk is full.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._explained():
            _keep_to_owner(file)
            self._database = sqlite3.connect(file, isolation_level=None)
            try:
                self._set_up()
            except BaseException:
                self._database.close()  # or it stays locked as long as this process lives
                raise
        self._confirmed: list[tuple[str]] = []

    def _set_up(self) -> None:
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")  # or a log could not be used on a network disk
        self._database.execute("PRAGMA journal_mode = WAL")  # one synchronisation a transaction, not three
        self._database.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        self._database.executescript(f"BEGIN;{_TABLES}COMMIT;")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()

    def settle(self, settings: Mapping[str, Any]) -> None:
        """Take over settings at first, and refuse others from then on.

        Raises:
            SliceStoreError: a setting differs from that of the first ingestion.
        """
        with self._transaction():
            known = dict(self._database.execute("SELECT name, value FROM settings"))
            if known:
                known = _SETTINGS_OF_OLDER_LEDGERS | known
            for name, value in settings.items():
                text = json.dumps(value)
                if known.setdefault(name, text) != text:
                    raise SliceStoreError(_other_setting(self._file, name, known[name], text))
                self._database.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, text))

    def recover(self, has_series: Callable[[str], bool]) -> int:
        """Settle series that were being added when a process died; returns how many series are stored.

        Args:
            has_series: whether the store has a series, completely.
        """
        with self._transaction():
            rows = self._database.execute("SELECT series FROM series WHERE NOT complete").fetchall()
            for (series,) in rows:
                if has_series(series):
                    self._database.execute("UPDATE series SET complete = 1 WHERE series = ?", (series,))
                else:
                    self._forget(series)
        return int(self._database.execute("SELECT COUNT(*) FROM series").fetchone()[0])

    def forget_outcomes(self, *, filter_fingerprint: str, retry_failed: bool) -> None:
        """Let files be looked at again whose outcome may be another one now."""
        with self._transaction():
            before = self._database.execute("SELECT value FROM settings WHERE name = 'filter'").fetchone()
            codes = [*_RETRIED, *(_FAILED if retry_failed else ())]
            if before != (filter_fingerprint,):
                codes += _DEPEND_ON_FILTER
            places = ", ".join("?" * len(codes))
            self._database.execute(f"DELETE FROM files WHERE outcome IN ({places})", [code.value for code in codes])
            self._database.execute("INSERT OR REPLACE INTO settings VALUES ('filter', ?)", (filter_fingerprint,))

    def outcome(self, file: bytes) -> Outcome | None:
        """What became of a file, None when it was not looked at."""
        found = self._database.execute("SELECT outcome, detail FROM files WHERE file = ?", (file,)).fetchone()
        return Outcome(*found) if found else None

    def record(self, outcomes: Iterable[tuple[bytes, Outcome]]) -> None:
        """Enter what became of files."""
        with self._transaction():
            self._enter(outcomes)

    def instances(self, unit: bytes) -> dict[bytes, bytes]:
        """The stored objects of a unit, each with the file that it came from."""
        return dict(self._database.execute("SELECT instance, file FROM instances WHERE unit = ?", (unit,)))

    @contextmanager
    def adding(
        self, entries: Sequence[LedgerEntry], *, outcomes: Iterable[tuple[bytes, Outcome]] = ()
    ) -> Iterator[None]:
        """Enter series, let the caller add them to the store together, and confirm them with the next entry.

        When the caller fails they stay unconfirmed until :meth:`recover`: they may be in the store all the same.

        Args:
            entries: the series.
            outcomes: of other files, entered on this occasion: each transaction waits for the disk.
        """
        with self._transaction():
            self._enter(outcomes)
            self._database.executemany(
                "INSERT INTO series VALUES (?, ?, 0, ?)",
                ((entry.series, entry.slices, json.dumps(sorted(entry.findings))) for entry in entries),
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?)",
                (
                    (instance, unit, file, entry.series)
                    for entry in entries
                    for unit, (instance, file) in zip(entry.units, entry.instances.items(), strict=True)
                ),
            )
        yield
        self._confirmed += [(entry.series,) for entry in entries]

    def totals(self) -> tuple[int, int, Counter[str]]:
        """Series and slices that are stored, and in how many series each kind of finding occurs."""
        self.record(())
        series, slices = self._database.execute("SELECT COUNT(*), TOTAL(slices) FROM series WHERE complete").fetchone()
        findings: Counter[str] = Counter()
        counted = self._database.execute("SELECT findings, COUNT(*) FROM series WHERE complete GROUP BY findings")
        for text, count in counted:
            findings.update(dict.fromkeys(json.loads(text), count))
        return int(series), int(slices), findings

    def _enter(self, outcomes: Iterable[tuple[bytes, Outcome]]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
            ((file, str(outcome), outcome.detail) for file, outcome in outcomes),
        )

    def _forget(self, series: str) -> None:
        self._database.execute("DELETE FROM instances WHERE series = ?", (series,))
        self._database.execute("DELETE FROM series WHERE series = ?", (series,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("UPDATE series SET complete = 1 WHERE series = ?", self._confirmed)
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            self._confirmed.clear()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SliceStoreError(
                f"The ledger of the ingestion {self._file} cannot be used: {error}. If the disk is full, make room and"
                " start again; what is stored is safe. If it is damaged, restore it from a copy or ingest into a new"
                " store."
            ) from error


def _keep_to_owner(file: Path) -> None:
    """Make folder and database readable for their owner only, those of older versions too; SQLite's logs follow."""
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with suppress(PermissionError):  # somebody else's
        file.parent.chmod(FOLDER_MODE)
        for part in file.parent.iterdir():
            if part.is_file() and not part.is_symlink():
                part.chmod(0o600)


def _other_setting(file: Path, name: str, before: str, now: str) -> str:
    if name == "key":
        return (
            f"The store of {file} was made with another key for pseudonyms: its patients would get a second pseudonym"
            " and could land on both sides of a split. Give the key that it was made with (--key)."
        )
    return (
        f"The store of {file} was made with {name} = {before}, and now it is {now}: slices of both kinds do not go"
        " together. Use the same option, or ingest into another store."
    )
