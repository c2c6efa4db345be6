"""Writes slice stores: one series at a time, each completely or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.store.codec import PackedSeries, pack_series
from monai_ext.data.store.format import (
    FOLDER_MODE,
    INDEX,
    LARGEST_SIDE,
    LOCK,
    MANIFEST,
    PENDING,
    PIXEL_TYPES,
    SERIES,
    SET_ASIDE,
    Manifest,
    check_provenance,
    check_series_key,
    is_slice_store,
    read_manifest,
    series_file,
)
from monai_ext.data.store.index import merge_pending, pack_pending, pending_file, read_table
from monai_ext.errors import SliceStoreError
from monai_ext.files import write_durably, write_together
from monai_ext.folder_lock import FolderInUseError, FolderLock

__all__ = ["PackedEntry", "SliceStoreWriter"]

_MERGE_AFTER = 512


@dataclass(frozen=True)
class PackedEntry:
    """A series to be stored: its pseudonym, what ``pack_series`` made, and how it was made."""

    series_key: str
    packed: PackedSeries
    provenance: Mapping[str, Any]


class SliceStoreWriter:
    """Creates a slice store or continues one. Open it with :meth:`open`, close it or use it in a ``with`` statement.

    Only one process writes to a store at a time; the lock vanishes with the process that holds it. After a crash at any
    moment, or on a full disk, the store is valid and holds exactly the series that were added before; what a crash left
    behind is cleared away by the next writer. Readers may use the store meanwhile and see it as it was when they
    opened it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/store"
        >>> with SliceStoreWriter.open(folder, source_kind="ct") as writer:
        ...     writer.add_series("series-0001", np.zeros((2, 8, 8), np.int16), [{"patient_id": "patient-01"}] * 2, {})
        ...     writer.has_series("series-0001")
        True
    """

    def __init__(self, path: Path, manifest: Manifest, lock: FolderLock) -> None:
        self.path = path
        self.source_kind = manifest.source_kind
        self._lock: FolderLock | None = lock
        self._pending = 0
        self._known: set[str] = set(read_table(path, "series", ["series_id"]).column("series_id").to_pylist())
        self._clear_leftovers()
        self._merge()

    @classmethod
    def open(cls, path: str | Path, *, source_kind: str) -> SliceStoreWriter:
        """Lock a store for writing; make it when the folder is missing or empty.

        Args:
            path: folder of the store.
            source_kind: ``"ct"`` (int16 Hounsfield units), ``"mr"`` (int16, scaled by percentiles of each series, see
                :mod:`monai_ext.data.percentiles`) or ``"picture"`` (uint8 gray levels). A store has one kind.

        Raises:
            SliceStoreError: another writer is at work, the folder holds something else, the store has another source
                kind, a newer format, or cannot be written.
        """
        if source_kind not in PIXEL_TYPES:
            raise SliceStoreError(f"There is no source kind {source_kind!r}; the kinds are {', '.join(PIXEL_TYPES)}.")
        path = Path(path).expanduser().absolute()
        with _explained(path, "opened for writing"):
            _check_folder(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=FOLDER_MODE, exist_ok=True)
            _refuse_links(path)
            lock = _locked(path)
        try:
            with _explained(path, "opened for writing"):
                return cls(path, _create_or_continue(path, source_kind), lock)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> SliceStoreWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def has_series(self, series_key: str) -> bool:
        """Whether a series is stored already, completely."""
        return series_key in self._known

    def add_series(
        self,
        series_key: str,
        slices: np.ndarray,
        table: Sequence[Mapping[str, Any]],
        provenance: Mapping[str, Any],
    ) -> None:
        """Store a series. When this returns, it survives the end of the process; after a power failure, the series that
        were added last may be missing as a whole until :meth:`close` has returned.

        Args:
            series_key: pseudonym of the series: 8 to 64 letters, digits, ``_`` or ``-``.
            slices: (n, rows, columns), int16 or uint8 as the source kind asks for, in order of position.
            table: n rows with the columns of ``INDEX_COLUMNS``; ``patient_id`` is required.
            provenance: how the series was made (codes and numbers, no free text), kept with it.

        Raises:
            SliceStoreError: the series is there already, an argument does not fit, or it cannot be written; in every
                case the store is as before.
        """
        self._check(series_key, slices.shape, slices.dtype)
        self.add_packed(series_key, pack_series(slices, table), provenance)

    def add_packed(self, series_key: str, packed: PackedSeries, provenance: Mapping[str, Any]) -> None:
        """Store a series that :func:`~monai_ext.data.store.codec.pack_series` made, maybe in another process.

        Raises:
            SliceStoreError: see :meth:`add_series`.
        """
        self.add_together([PackedEntry(series_key, packed, provenance)])

    def add_together(self, entries: Sequence[PackedEntry]) -> None:
        """Store several series at once, all of them or none: a disk is waited for once and not for each.

        Raises:
            SliceStoreError: see :meth:`add_series`.
        """
        files, rows = [], []
        for entry in entries:
            packed = entry.packed
            self._check(entry.series_key, packed.shape, packed.dtype)
            made = check_provenance(entry.provenance)
            series = {"series_id": entry.series_key, "provenance": made, "sha256": packed.sha256}
            rows.append((packed.chunks | series, packed.rows))
            files.append((series_file(self.path, entry.series_key), packed.frame))
        keys = [entry.series_key for entry in entries]
        if len(set(keys)) < len(keys):
            raise SliceStoreError("A series cannot be stored twice: two of those that were to be added have one key.")
        if keys:
            self._commit(keys[0], files, pack_pending(rows))
            self._known.update(keys)
            self._pending += len(keys)
        if self._pending >= _MERGE_AFTER:
            self._merge()

    def close(self) -> None:
        """Bring the index up to date and let the next writer in; closing twice does no harm."""
        if self._lock is None:
            return
        try:
            self._merge()
        finally:
            self._lock.release()
            self._lock = None

    def _commit(self, series_key: str, files: Sequence[tuple[Path, bytes]], pending: memoryview) -> None:
        """Write pixels, and then the rows that make them part of the store; nothing stays behind when that fails."""
        try:
            with _explained(self.path, "written"):
                for folder in {file.parent for file, _ in files}:
                    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
                write_together(files, owner_only=True)
                file = pending_file(self.path, series_key, pending)
                write_durably(file, pending, sync_name=False, owner_only=True)
        except BaseException:
            for file, _ in files:
                file.unlink(missing_ok=True)
            raise

    def _merge(self) -> None:
        with _explained(self.path, "written"):
            merge_pending(self.path)
        self._pending = 0

    def _check(self, series_key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if self._lock is None:
            raise SliceStoreError(f"The slice store {self.path} cannot be written: this writer was closed.")
        if self.has_series(check_series_key(series_key)):
            raise SliceStoreError(f"The series {series_key} is in the store {self.path} already; ask has_series first.")
        expected = np.dtype(PIXEL_TYPES[self.source_kind])
        if len(shape) != 3 or 0 in shape or max(shape[1:]) > LARGEST_SIDE or dtype != expected:
            raise SliceStoreError(
                f"A series of shape {shape} and type {dtype} cannot be stored: a store of kind"
                f" {self.source_kind!r} takes (n, rows, columns), none of them 0, sides up to {LARGEST_SIDE}, of type"
                f" {expected}."
            )

    def _clear_leftovers(self) -> None:
        """Remove what a killed writer left: unfinished files, and pixels whose series was never committed."""
        for file in self.path.rglob("*.tmp"):
            file.unlink(missing_ok=True)
        for file in (self.path / SERIES).glob("*/*.b2nd"):
            if file.stem not in self._known:
                file.unlink(missing_ok=True)


def _check_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise SliceStoreError(f"{path} is a file; a slice store is a folder. Name another path.")
    if path.is_dir() and not is_slice_store(path) and any(not _left_by_opening(file) for file in path.iterdir()):
        raise SliceStoreError(
            f"The folder {path} holds other files and is no slice store: name an empty or a new folder."
        )


def _left_by_opening(file: Path) -> bool:
    """Whether a writer that was killed while it made a store may have left this file."""
    return file.name == LOCK or (file.name.startswith(MANIFEST) and file.suffix == ".tmp")


def _create_or_continue(path: Path, source_kind: str) -> Manifest:
    if not (path / MANIFEST).exists():
        Manifest(source_kind).save(path)
    manifest = read_manifest(path)
    if manifest.source_kind != source_kind:
        raise SliceStoreError(
            f"The slice store {path} holds slices of kind {manifest.source_kind!r}, and {source_kind!r} was to be"
            " added: their values mean different things, so write another store."
        )
    for folder in (INDEX, PENDING, SERIES):
        (path / folder).mkdir(mode=FOLDER_MODE, exist_ok=True)
    return manifest


def _refuse_links(path: Path) -> None:
    """Refuse a store that is linked together: files that a writer removes would be those of somebody else."""
    parts = [path / name for name in (INDEX, PENDING, SERIES, MANIFEST, LOCK, SET_ASIDE)]
    for part in [*parts, *((path / SERIES).glob("*"))]:
        if part.is_symlink():
            raise SliceStoreError(
                f"The slice store {path} cannot be written: {part.relative_to(path)} in it is a link, and what lies at"
                " its target might be deleted. Put the folder itself there; the store as a whole may be a link."
            )


def _locked(path: Path) -> FolderLock:
    """The right to write to the store, which this process has from now on."""
    lock = FolderLock(path, name=LOCK, owner_only=True)
    try:
        lock.acquire()
    except FolderInUseError as error:
        raise SliceStoreError(
            "The slice store {store} is being written already: {holder}. Wait until it has finished, or end it.",
            store=path,
            holder=error,
        ) from None
    return lock


@contextmanager
def _explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an error of the operating system into a sentence about the store."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = (
            "the disk is full: make room and start again; the series stored so far are safe and are not read again"
            if full
            else f"{error.strerror or error}"
        )
        raise SliceStoreError(f"The slice store {path} cannot be {doing}: {advice}.") from error
