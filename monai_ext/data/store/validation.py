"""What must be true of a slice store's tables before they are used: they may be damaged, or made to do harm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.store.codec import largest_chunk
from monai_ext.data.store.format import CODE, HASH, INDEX_COLUMNS, LARGEST_SIDE, PSEUDONYM

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_parquet", "check_series", "check_slices", "shapes_of"]

_MOST_ROWS_A_BYTE, _MOST_BYTES_A_BYTE = 16, 4096
_ALWAYS_THERE = ("series_id", "slice_number", "patient_id", "rows", "columns")
_ITEM_BYTES = 2


def check_parquet(metadata: Any, schema: pa.Schema, expected: pa.Schema, *, size: int) -> None:
    """Compare what a Parquet file declares with what a table of a store has, before anything is decompressed.

    Args:
        metadata: of the file, as pyarrow gives it.
        schema: of the file.
        expected: of the table.
        size: of the file in bytes. A table takes a byte a row at least, so that a short file has few rows.

    Raises:
        ValueError: columns are missing, others, or of another type; or it declares more than it can hold.
    """
    if schema.names != expected.names or schema.types != expected.types:
        raise ValueError("its columns are not those of a slice store")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
    unpacked = max([0, *(column.total_uncompressed_size for column in columns)])
    if rows > _MOST_ROWS_A_BYTE * size or unpacked > _MOST_BYTES_A_BYTE * size:
        raise ValueError(f"it declares {rows} rows and columns of {unpacked} bytes, more than {size} bytes can hold")


def check_series(table: pa.Table, *, itemsize: int = _ITEM_BYTES) -> None:
    """Check the columns of a ``"series"`` table that were read.

    Raises:
        ValueError: a value is missing, or none that a store writes.
    """
    _refuse_missing(table, table.column_names)
    ids = table.column("series_id").to_pylist()
    if any(first >= second for first, second in pairwise(ids)):
        raise ValueError("its series are not in order, or one is there twice")
    _check_pattern(table, "series_id", PSEUDONYM)
    if "sha256" in table.column_names:
        _check_pattern(table, "sha256", HASH)
    for name, most in (("slices", 2**31 - 1), ("rows", LARGEST_SIDE), ("columns", LARGEST_SIDE)):
        if name in table.column_names:
            _check_range(name, table.column(name).to_numpy(), 1, most)
    if "offsets" in table.column_names:
        _check_chunks(table, itemsize)


def shapes_of(series: pa.Table) -> np.ndarray:
    """(number of series, 3), int64: slices, rows and columns of each."""
    columns = [series.column(name).to_numpy() for name in ("slices", "rows", "columns")]
    return np.column_stack(columns).astype(np.int64)


def check_slices(table: pa.Table, series_ids: Sequence[str], shapes: np.ndarray) -> None:
    """Check the columns of a ``"slices"`` table that were read against the series that the store has.

    Args:
        table: its rows, in order.
        series_ids: all series, in order.
        shapes: (number of series, 3): slices, rows and columns of each.

    Raises:
        ValueError: a row is missing or too many, or a value is none that a store writes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse_missing(table, [name for name in _ALWAYS_THERE if name in table.column_names])
    counts = shapes[:, 0]
    if len(table) != counts.sum():
        raise ValueError(f"it has {len(table)} rows, and the series have {counts.sum()} slices")
    if not len(table):
        return
    numbers = pc.index_in(table.column("series_id"), value_set=pa.array(series_ids, pa.string())).to_numpy()
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    expected = {"series_id": np.repeat(np.arange(len(counts)), counts), "slice_number": np.arange(len(table)) - firsts}
    found = {"series_id": numbers, "slice_number": table.column("slice_number").to_numpy()}
    for place, name in enumerate(("rows", "columns"), start=1):
        if name in table.column_names:
            expected[name], found[name] = np.repeat(shapes[:, place], counts), table.column(name).to_numpy()
    for name, values in expected.items():
        if not np.array_equal(found[name], values):
            raise ValueError(f"its column {name} does not fit the series")
    for name in table.column_names:
        _check_values(table, name)


def _check_values(table: pa.Table, name: str) -> None:
    kind = INDEX_COLUMNS[name].kind
    if kind in ("pseudonym", "code"):
        _check_pattern(table, name, PSEUDONYM if kind == "pseudonym" else CODE)
    elif kind == "number" and not np.isfinite(table.column(name).drop_null().to_numpy()).all():
        raise ValueError(f"a {name} is no finite number")


def _check_chunks(table: pa.Table, itemsize: int) -> None:
    """Where chunks lie: one entry a slice, and none longer than a chunk of its slice can be."""
    import pyarrow.compute as pc

    slices = table.column("slices").to_numpy()
    for name in ("offsets", "lengths", "checksums"):
        column = table.column(name)
        values = pc.list_flatten(column)
        if not np.array_equal(pc.list_value_length(column).to_numpy(), slices) or values.null_count:
            raise ValueError(f"its {name} are not one a slice")
        _check_range(name, values.to_numpy(), 0, 2**48)
    sides = zip(table.column("rows").to_pylist(), table.column("columns").to_pylist(), strict=True)
    longest = np.repeat([largest_chunk(rows, columns, itemsize) for rows, columns in sides], slices)
    if (pc.list_flatten(table.column("lengths")).to_numpy() > longest).any():
        raise ValueError("a chunk is longer than its slice")


def _check_range(name: str, values: np.ndarray, least: int, most: int) -> None:
    if len(values) and not least <= int(values.min()) <= int(values.max()) <= most:
        raise ValueError(f"its {name} are not within {least} and {most}")


def _check_pattern(table: pa.Table, name: str, pattern: Any) -> None:
    values = table.column(name).unique().drop_null().to_pylist()
    if not all(pattern.fullmatch(value) for value in values):
        raise ValueError(f"a {name} is none that a slice store has")


def _refuse_missing(table: pa.Table, names: Sequence[str]) -> None:
    for name in names:
        if table.column(name).null_count:
            raise ValueError(f"a {name} is missing")
