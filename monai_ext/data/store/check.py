"""Finds damage in a slice store, and sets damaged slices aside so that readers pass over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from monai_ext.data.store.codec import hash_series
from monai_ext.data.store.format import INDEX_COLUMNS, SET_ASIDE, sealed
from monai_ext.data.store.index import read_table
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import SliceStoreError
from monai_ext.files import write_durably

__all__ = ["SeriesCheck", "check_series", "set_aside"]


@dataclass(frozen=True)
class SeriesCheck:
    """Outcome for one series: numbers of its damaged slices, and a sentence for each of them."""

    series_id: str
    slices: int
    damaged: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


def check_series(store: SliceStore) -> Iterator[SeriesCheck]:
    """Read every slice of every series, compare it with its checksum, and the series with its hash.

    Where all chunks are right but the hash is not, the index was changed; then every slice counts as damaged, as its
    patient or position may be wrong.
    """
    written_by_store = [name for name, column in INDEX_COLUMNS.items() if column.written_by_store]
    rows = store.rows().drop_columns(written_by_store)
    hashes = store.restrict(read_table(store.path, "series", ["sha256"])).column("sha256").to_pylist()
    first = 0
    for number, series_id in enumerate(store.series_ids):
        count = int(store.shapes[number, 0])
        own = rows.slice(first, count).to_pylist()
        first += count
        pixels, damaged, reasons = [], [], []
        for slice_number in range(count):
            try:
                pixels.append(store.read_of_series(number, slice_number))
            except SliceStoreError as error:
                damaged.append(slice_number)
                reasons.append(str(error))
        if not damaged and hash_series(np.stack(pixels), own) != hashes[number]:
            damaged = list(range(count))
            reasons = [f"The index of series {series_id} does not belong to its pixels any more."]
        yield SeriesCheck(series_id, count, tuple(damaged), tuple(reasons))


def set_aside(store: SliceStore, checks: Iterable[SeriesCheck]) -> None:
    """Let readers pass over damaged slices from now on, and over no others; the store's content hash changes.

    Raises:
        SliceStoreError: somebody writes to the store at this moment.
    """
    damaged = sorted((check.series_id, number) for check in checks for number in check.damaged)
    with SliceStoreWriter.open(store.path, source_kind=store.source_kind):
        if damaged:
            write_durably(store.path / SET_ASIDE, sealed({"slices": damaged}), owner_only=True)
        else:
            (store.path / SET_ASIDE).unlink(missing_ok=True)
