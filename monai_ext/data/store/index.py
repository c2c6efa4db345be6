"""The slice store's index: two Parquet tables of one generation, and the series that were added since."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ext.data.store.format import INDEX, INDEX_COLUMNS, PENDING, Manifest, read_manifest
from monai_ext.data.store.validation import check_parquet, check_series, check_slices, shapes_of
from monai_ext.errors import SliceStoreError
from monai_ext.files import read_regular, write_durably

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["merge_pending", "pack_pending", "pending_file", "read_table"]

_ATTEMPTS = 20
_LARGEST_FILE = 2**34
_ORDER = {"series": [("series_id", "ascending")], "slices": [("series_id", "ascending"), ("slice_number", "ascending")]}
_SHAPE, _CHUNKS = ("slices", "rows", "columns"), ("offsets", "lengths", "checksums")
_ARROW_MARK = b"ARROW1\0\0"
_COMPRESSION_FIELD = 4 + 2 * 3
"""Place of RecordBatch.compression in the table of fields of its flatbuffer (Arrow's Message.fbs)."""


@dataclass(frozen=True)
class _Pending:
    """Series that were added together: their rows of both tables."""

    series: pa.Table
    slices: pa.Table


def read_table(store: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the ``"series"`` or the ``"slices"`` table, in order of series_id (and slice_number).

    Series that are pending are read before the manifest: a writer that merges them meanwhile replaces the manifest
    before it removes them, so that no series is missed. What the series table says is checked; for slices see
    :func:`~monai_ext.data.store.validation.check_slices`.

    Args:
        store: folder of the store.
        name: which table.
        columns: columns to read, all when omitted; those that give the order always come along, and with the places of
            chunks the shapes.

    Raises:
        SliceStoreError: the folder is no store, of a newer format, or its index is damaged.
    """
    if columns is not None and set(columns) & set(_CHUNKS):
        columns = [*columns, *_SHAPE, *_CHUNKS]
    for _ in range(_ATTEMPTS):
        pending = _read_pending(store)
        manifest = read_manifest(store)
        try:
            merged = _read_generation(store, manifest, name, columns)
        except FileNotFoundError:  # replaced by the next generation after the manifest was read
            continue
        table = _joined(name, merged, _not_merged(merged, pending))
        if name == "series":
            _check_series(store, manifest, table)
        return table
    raise SliceStoreError(
        f"The index of the slice store {store} cannot be read: files that {read_manifest(store)} names are missing."
        " Restore them from a copy, or ingest the source again."
    )


def pending_file(store: Path, series_id: str, content: bytes | memoryview) -> Path:
    """The file whose appearance commits series: named after the first of them, and by its own checksum."""
    return store / PENDING / f"{series_id}.{zlib.crc32(content):08x}.arrow"


def pack_pending(added: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]) -> memoryview:
    """Series as one Arrow file: their slices as rows, their own rows of the series table in the metadata.

    Args:
        added: of every series, its row of the series table, and its slices' rows.
    """
    import pyarrow as pa

    filled = []
    for series, rows in added:
        written_by_store = {name: series[name] for name in ("series_id", "rows", "columns")}
        filled += [{**row, **written_by_store, "slice_number": number} for number, row in enumerate(rows)]
    table = pa.Table.from_pylist(filled, schema=_schema("slices"))
    table = table.replace_schema_metadata({"series": json.dumps([dict(series) for series, _ in added])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def merge_pending(store: Path) -> None:
    """Fold the pending series into a new generation of the index. Only the holder of the store's lock may do so."""
    pending = _read_pending(store)
    manifest = read_manifest(store)
    if pending:
        old, generation, checksums = manifest, manifest.generation + 1, {}
        added = _not_merged(_read_generation(store, old, "series", ["series_id"]), pending)
        for name in _ORDER:
            content = _to_parquet(_joined(name, _read_generation(store, old, name), added))
            write_durably(_generation_file(store, generation, name), content, owner_only=True)
            checksums[name] = zlib.crc32(content)
        manifest = Manifest(manifest.source_kind, generation, checksums)
        manifest.save(store)
    kept = {_generation_file(store, manifest.generation, name) for name in _ORDER}
    for file in [*pending, *((store / INDEX).glob("*.parquet"))]:
        if file not in kept:
            file.unlink(missing_ok=True)


def _not_merged(merged: pa.Table, pending: Mapping[Path, _Pending]) -> list[_Pending]:
    """Without what a writer that was killed had merged, but not removed; series added together are merged together."""
    known = set(merged.column("series_id").unique().to_pylist()) if pending else set()
    return [group for group in pending.values() if group.series.column("series_id")[0].as_py() not in known]


def _joined(name: str, merged: pa.Table, pending: Sequence[_Pending]) -> pa.Table:
    """A table of the index with what is pending, in order."""
    import pyarrow as pa

    if not pending:
        return merged
    added = [group.series if name == "series" else group.slices for group in pending]
    together = pa.concat_tables([merged, *(table.select(merged.column_names) for table in added)])
    return together.sort_by(_ORDER[name])


def _check_series(store: Path, manifest: Manifest, table: pa.Table) -> None:
    try:
        check_series(table)
    except ValueError as error:
        raise _damaged(_generation_file(store, manifest.generation, "series"), error) from error


def _read_pending(store: Path) -> dict[Path, _Pending]:
    import pyarrow as pa

    groups: dict[Path, _Pending] = {}
    for file in sorted((store / PENDING).glob("*.arrow")):
        try:
            groups[file] = _open_pending(file)
        except FileNotFoundError:  # merged meanwhile
            continue
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(file, error) from error
    return groups


def _open_pending(file: Path) -> _Pending:
    """Read pending series. Compressed ones are refused: a few bytes of those could stand for all of the memory.

    Raises:
        ValueError: it is damaged.
    """
    import pyarrow as pa

    content = read_regular(file, most=_LARGEST_FILE)
    named = file.name.split(".")
    if len(named) == 3 and int(named[1], 16) != zlib.crc32(content):  # older versions wrote none
        raise ValueError("its checksum does not match")
    if not content.startswith(_ARROW_MARK):
        raise ValueError("it is no Arrow file")
    messages = iter(pa.ipc.MessageReader.open_stream(content[len(_ARROW_MARK) :]))
    schema = pa.ipc.read_schema(next(messages))
    batches = [pa.ipc.read_record_batch(_uncompressed(message), schema) for message in messages]
    table = pa.Table.from_batches(batches, schema)
    table.validate(full=True)
    rows = json.loads(schema.metadata[b"series"])
    rows = rows if isinstance(rows, list) else [rows]  # older versions wrote one
    series = pa.Table.from_pylist(rows, schema=_schema("series")).sort_by(_ORDER["series"])
    expected = _schema("slices")
    if table.schema.names != expected.names or table.schema.types != expected.types or not rows:
        raise ValueError("its columns are not those of a slice store")
    check_series(series)
    table = table.replace_schema_metadata(None).sort_by(_ORDER["slices"])
    check_slices(table, series.column("series_id").to_pylist(), shapes_of(series))
    return _Pending(series, table)


def _uncompressed(message: pa.ipc.Message) -> pa.ipc.Message:
    """Refuse a batch with compressed buffers, by looking up the field of its flatbuffer that says so."""
    metadata = bytes(message.metadata)
    try:
        if message.type != "record batch":
            raise ValueError(f"it holds a {message.type}")
        root = struct.unpack_from("<I", metadata)[0]
        fields = root - struct.unpack_from("<i", metadata, root)[0]
        header_at = root + struct.unpack_from("<H", metadata, fields + 4 + 2 * 2)[0]
        header = header_at + struct.unpack_from("<I", metadata, header_at)[0]
        fields = header - struct.unpack_from("<i", metadata, header)[0]
        size = struct.unpack_from("<H", metadata, fields)[0]
        if size > _COMPRESSION_FIELD and struct.unpack_from("<H", metadata, fields + _COMPRESSION_FIELD)[0]:
            raise ValueError("it is compressed")
    except struct.error as error:
        raise ValueError("a message is cut") from error
    return message


def _read_generation(store: Path, manifest: Manifest, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    wanted = None if columns is None else list(dict.fromkeys([*(key for key, _ in _ORDER[name]), *columns]))
    if manifest.generation == 0:
        empty = _schema(name).empty_table()
        return empty if wanted is None else empty.select(wanted)
    file = _generation_file(store, manifest.generation, name)
    return _read_parquet(file, _schema(name), wanted, manifest.index.get(name))


def _generation_file(store: Path, generation: int, name: str) -> Path:
    return store / INDEX / f"{name}-{generation:08d}.parquet"


def _read_parquet(file: Path, schema: pa.Schema, columns: list[str] | None, checksum: int | None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = read_regular(file, most=_LARGEST_FILE)
        if checksum is not None and zlib.crc32(content) != checksum:
            raise ValueError("its checksum does not match")
        parquet = pq.ParquetFile(io.BytesIO(content))
        check_parquet(parquet.metadata, parquet.schema_arrow, schema, size=len(content))
        table = parquet.read(columns=columns, use_threads=False)
        table.validate(full=True)
        if len(table) != parquet.metadata.num_rows:
            raise ValueError("it has another number of rows than it declares")
        return table
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
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
