"""Reads slice stores: any slice at once, from any number of processes, without an open file between two reads."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.percentiles import PercentileScale
from monai_ext.data.store.codec import decompress_slice
from monai_ext.data.store.format import (
    PIXEL_TYPES,
    SET_ASIDE,
    check_provenance,
    is_slice_store,
    read_manifest,
    series_file,
    unsealed,
)
from monai_ext.data.store.index import read_table
from monai_ext.data.store.validation import check_slices, shapes_of
from monai_ext.data.store.writer import SliceStoreWriter
from monai_ext.errors import SliceStoreError
from monai_ext.files import open_regular

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["SliceStore", "SliceStoreWriter", "is_slice_store"]


class SliceStore:
    """Slices on disk, ordered by series and position; made by ``python -m monai_ext ingest``.

    Opening reads one small table; the index and the places of the chunks are read when they are first needed. Every
    read opens the file, reads one chunk and closes it, so that a store can be handed to worker processes (forked or
    spawned) freely. What a writer adds meanwhile is not seen until the store is opened again.

    Args:
        path: folder of the store.

    Raises:
        SliceStoreError: the folder is no store, of a newer format, or its index is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self.source_kind = read_manifest(self.path).source_kind
        self.dtype: np.dtype[Any] = np.dtype(PIXEL_TYPES[self.source_kind])
        table = read_table(self.path, "series", ["slices", "rows", "columns"])
        self.series_ids: list[str] = table.column("series_id").to_pylist()
        self.shapes = shapes_of(table)
        self._ends = np.cumsum(self.shapes[:, 0])
        self.set_aside = self._read_set_aside()
        self._kept = self._choose_kept()

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._kept is None else len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "index"}

    def read(self, index: int) -> np.ndarray:
        """Read one slice: (rows, columns), int16 Hounsfield units (MR: scaled by percentiles) or uint8 gray levels.

        Raises:
            IndexError: there is no such slice.
            SliceStoreError: the slice's chunk is damaged or missing; series and slice are named.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"There is no slice {index}: the store {self.path} has slices 0 to {len(self) - 1}.")
        return self.read_of_series(*self.locate(index))

    def locate(self, index: int) -> tuple[int, int]:
        """Number of the series (a position in ``series_ids``) and of the slice within it."""
        place = index if self._kept is None else int(self._kept[index])
        series = int(np.searchsorted(self._ends, place, side="right"))
        return series, int(place - self._ends[series] + self.shapes[series, 0])

    def read_of_series(self, series: int, number: int) -> np.ndarray:
        """Read a slice by its series' position in ``series_ids`` and its number, also one that was set aside.

        Raises:
            SliceStoreError: see :meth:`read`.
        """
        _, rows, columns = map(int, self.shapes[series])
        place = int(self._ends[series] - self.shapes[series, 0]) + number
        offset, length, checksum = (int(values[place]) for values in self._chunks)
        try:
            with open_regular(series_file(self.path, self.series_ids[series])) as file:
                chunk = os.pread(file.fileno(), length, offset)
            if len(chunk) != length or zlib.crc32(chunk) != checksum:
                raise ValueError("its checksum does not match")
            return decompress_slice(chunk, rows=rows, columns=columns, dtype=self.dtype)
        except (OSError, ValueError) as error:
            raise self._damaged(series, number, getattr(error, "strerror", None) or str(error)) from error

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row a slice with the columns of ``INDEX_COLUMNS``; row i describes what ``read(i)`` gives."""
        return self.columns().to_pandas()

    def columns(self, names: list[str] | None = None) -> pa.Table:
        """Chosen columns of the index as an Arrow table, one row a slice: faster than ``index`` on a large store."""
        table = self.rows(names)
        return table if self._kept is None else table.take(self._kept)

    def rows(self, names: list[str] | None = None) -> pa.Table:
        """As :meth:`columns`, with the slices that were set aside.

        Raises:
            SliceStoreError: the table does not fit the series, or holds what no store does.
        """
        table = self.restrict(read_table(self.path, "slices", names))
        try:
            check_slices(table, self.series_ids, self.shapes)
        except ValueError as error:
            raise SliceStoreError(
                f"The index of the slice store {self.path} is damaged: of its table of slices, {error}. Restore it from"
                " a copy, or ingest the source again."
            ) from error
        return table

    @cached_property
    def series_hashes(self) -> dict[str, str]:
        """What identifies the values and index rows of each series, by its id."""
        hashes = self.restrict(read_table(self.path, "series", ["sha256"]))
        return dict(zip(*(hashes.column(name).to_pylist() for name in hashes.column_names), strict=True))

    @cached_property
    def content_hash(self) -> str:
        """Identifies the content, however it was compressed, in whatever order it was added, wherever it lies."""
        digest = hashlib.sha256(f"{self.source_kind}\n".encode())
        for series_id, series_hash in self.series_hashes.items():
            digest.update(f"{series_id} {series_hash}\n".encode())
        digest.update(json.dumps(self.set_aside).encode())
        return digest.hexdigest()

    @cached_property
    def provenance(self) -> list[dict[str, Any]]:
        """How each series was made, in the order of ``series_ids``."""
        texts = self.restrict(read_table(self.path, "series", ["provenance"])).column("provenance")
        made = []
        for series_id, text in zip(self.series_ids, texts.to_pylist(), strict=True):
            try:
                made.append(dict(json.loads(text)))
                check_provenance(made[-1])
            except (TypeError, ValueError, RecursionError) as error:
                raise SliceStoreError(
                    f"The index of the slice store {self.path} is damaged: the provenance of series {series_id} is none"
                    " that a store holds. Restore it from a copy, or ingest the source again."
                ) from error
        return made

    def scales(self) -> dict[str, PercentileScale]:
        """Of MR, the scale of each series by its id; empty for other kinds, which need none.

        Raises:
            SliceStoreError: a series has none: an older version kept stored values as they were.
        """
        if self.source_kind != "mr":
            return {}
        scales = dict(zip(self.series_ids, map(PercentileScale.of_provenance, self.provenance), strict=True))
        known = {series_id: scale for series_id, scale in scales.items() if scale is not None}
        if len(known) < len(scales):
            raise SliceStoreError(
                f"The slice store {self.path} holds MR as the scanner stored it, each series on a scale of its own, as"
                " an older version of this program wrote it. Make it again, in a new folder:"
                " `python -m monai_ext ingest SOURCE STORE --kind mr`."
            )
        return known

    @property
    def has_old_pseudonyms(self) -> bool:
        """Whether labelled pictures are in it whose pseudonyms an older version of this program made without a key."""
        return any("labelled_pictures" in made and "key" not in made for made in self.provenance)

    def restrict(self, table: pa.Table) -> pa.Table:
        """Leave out of a table of the store's index what was added since this store was opened."""
        import pyarrow as pa
        import pyarrow.compute as pc

        return table.filter(pc.is_in(table.column("series_id"), value_set=pa.array(self.series_ids, pa.string())))

    @cached_property
    def _chunks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offset, length and CRC-32 of every slice's chunk, those set aside too."""
        table = self.restrict(read_table(self.path, "series", ["offsets", "lengths", "checksums"]))
        offsets, lengths, checksums = (
            table.column(name).combine_chunks().flatten().to_numpy() for name in ("offsets", "lengths", "checksums")
        )
        return offsets, lengths, checksums

    def _choose_kept(self) -> np.ndarray | None:
        firsts = dict(zip(self.series_ids, (self._ends - self.shapes[:, 0]).tolist(), strict=True))
        aside = [firsts[series_id] + number for series_id, number in self.set_aside]
        total = int(self._ends[-1]) if len(self._ends) else 0
        return np.setdiff1d(np.arange(total), aside) if aside or not total else None

    def _read_set_aside(self) -> list[tuple[str, int]]:
        file = self.path / SET_ASIDE
        if not os.path.lexists(file):
            return []
        counts = dict(zip(self.series_ids, self.shapes[:, 0].tolist(), strict=True))
        try:
            content = unsealed(file)
            aside = [
                (series_id, number) for series_id, number in (content["slices"] if type(content) is dict else content)
            ]
            if not all(type(number) is int and 0 <= number < counts.get(series_id, 0) for series_id, number in aside):
                raise ValueError("it names a slice that the store does not have")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise SliceStoreError(
                f"{file} is damaged ({error}): delete it and run `python -m monai_ext store verify {self.path}"
                " --set-aside`."
            ) from error
        return sorted(aside)

    def _damaged(self, series: int, number: int, reason: str) -> SliceStoreError:
        return SliceStoreError(
            f"Slice {number} of series {self.series_ids[series]} in the store {{store}} is damaged: {{reason}}. Restore"
            " the store from a copy, or pass over its damaged slices from now on with"
            " `python -m monai_ext store verify {store} --set-aside`.",
            reason=reason,
            store=self.path,
        )
