"""The slice store's index: two Parquet tables of one generation, and the series that were added since."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ext.data.store.format import INDEX, INDEX_COLUMNS, PENDING, Manifest, read_manifest
from monai_ext.errors import SliceStoreError
from monai_ext.files import write_durably

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["merge_pending", "pack_pending", "pending_file", "read_table"]

_ATTEMPTS = 20
_ORDER = {"series": [("series_id", "ascending")], "slices": [("series_id", "ascending"), ("slice_number", "ascending")]}


def read_table(store: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the ``"series"`` or the ``"slices"`` table, in order of series_id (and slice_number).

    Series that are pending are read before the manifest: a writer that merges them meanwhile replaces the manifest
    before it removes them, so that no series is missed.

    Args:
        store: folder of the store.
        name: which table.
        columns: columns to read, all when omitted; those that give the order always come along.

    Raises:
        SliceStoreError: the folder is no store, of a newer format, or its index is damaged.
    """
    for _ in range(_ATTEMPTS):
        pending = _read_pending(store)
        try:
            merged = _read_generation(store, read_manifest(store), name, columns)
        except FileNotFoundError:  # replaced by the next generation after the manifest was read
            continue
        known = set(merged.column("series_id").unique().to_pylist()) if pending else set()
        return _joined(name, merged, [table for series_id, table in pending.items() if series_id not in known])
    raise SliceStoreError(
        f"The index of the slice store {store} cannot be read: files that {read_manifest(store)} names are missing."
        " Restore them from a copy, or ingest the source again."
    )


def pending_file(store: Path, series_id: str) -> Path:
    """The file whose appearance commits a series."""
    return store / PENDING / f"{series_id}.arrow"


def pack_pending(series: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> memoryview:
    """One series as an Arrow file: its slices as rows, its own row of the series table in the metadata."""
    import pyarrow as pa

    written_by_store = {name: series[name] for name in ("series_id", "rows", "columns")}
    filled = [{**row, **written_by_store, "slice_number": number} for number, row in enumerate(rows)]
    table = pa.Table.from_pylist(filled, schema=_schema("slices"))
    table = table.replace_schema_metadata({"series": json.dumps(dict(series))})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def merge_pending(store: Path) -> None:
    """Fold the pending series into a new generation of the index. Only the holder of the store's lock may do so."""
    pending = _read_pending(store)
    manifest = read_manifest(store)
    if pending:
        old, manifest = manifest, Manifest(manifest.source_kind, manifest.generation + 1)
        known = set(_read_generation(store, old, "series", ["series_id"]).column("series_id").to_pylist())
        added = [table for series_id, table in pending.items() if series_id not in known]
        for name in _ORDER:
            table = _joined(name, _read_generation(store, old, name), added)
            write_durably(_generation_file(store, manifest, name), _to_parquet(table))
        manifest.save(store)
    kept = {_generation_file(store, manifest, name) for name in _ORDER}
    merged = [pending_file(store, series_id) for series_id in pending]
    for file in [*merged, *((store / INDEX).glob("*.parquet"))]:
        if file not in kept:
            file.unlink(missing_ok=True)


def _joined(name: str, merged: pa.Table, pending: Sequence[pa.Table]) -> pa.Table:
    """A table of the index with what is pending, in order."""
    import pyarrow as pa

    if not pending:
        return merged
    if name == "series":
        rows = [json.loads(table.schema.metadata[b"series"]) for table in pending]
        added = [pa.Table.from_pylist(rows, schema=_schema("series"))]
    else:
        added = [table.replace_schema_metadata(None) for table in pending]
    together = pa.concat_tables([merged, *(table.select(merged.column_names) for table in added)])
    return together.sort_by(_ORDER[name])


def _read_pending(store: Path) -> dict[str, pa.Table]:
    import pyarrow as pa

    tables: dict[str, pa.Table] = {}
    for file in sorted((store / PENDING).glob("*.arrow")):
        try:
            tables[file.stem] = pa.ipc.open_file(file.read_bytes()).read_all()
        except FileNotFoundError:  # merged meanwhile
            continue
        except (pa.ArrowException, OSError) as error:
            raise _damaged(file, error) from error
    return tables


def _read_generation(store: Path, manifest: Manifest, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    wanted = None if columns is None else list(dict.fromkeys([*(key for key, _ in _ORDER[name]), *columns]))
    if manifest.generation == 0:
        empty = _schema(name).empty_table()
        return empty if wanted is None else empty.select(wanted)
    return _read_parquet(_generation_file(store, manifest, name), wanted)


def _generation_file(store: Path, manifest: Manifest, name: str) -> Path:
    return store / INDEX / f"{name}-{manifest.generation:08d}.parquet"


def _read_parquet(file: Path, columns: list[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO(file.read_bytes())
    try:
        return pq.ParquetFile(content).read(columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> SliceStoreError:
    return SliceStoreError(
        f"The index of the slice store {file.parent.parent} cannot be read: {file.name} is damaged ({error})."
        " Restore it from a copy, or ingest the source again."
    )


def _to_parquet(table: pa.Table) -> memoryview:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getbuffer()


def _schema(name: str) -> pa.Schema:
    import pyarrow as pa

    if name == "slices":
        types = {"pseudonym": pa.string(), "code": pa.string(), "integer": pa.int32(), "number": pa.float64()}
        return pa.schema([(column, types[about.kind]) for column, about in INDEX_COLUMNS.items()])
    counts = [(column, pa.int32()) for column in ("slices", "rows", "columns")]
    chunks = [
        ("offsets", pa.list_(pa.int64())),
        ("lengths", pa.list_(pa.int32())),
        ("checksums", pa.list_(pa.uint32())),
    ]
    texts = [(column, pa.string()) for column in ("series_id", "sha256", "provenance")]
    return pa.schema([texts[0], *counts, *chunks, *texts[1:]])
