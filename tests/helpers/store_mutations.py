"""Mutations of slice stores: damage by chance, and fields that somebody changed with all checksums made right again."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.slice_stores import reseal
from monai_ext.data.store.format import MANIFEST, SET_ASIDE, sealed

Mutation = Callable[[Path, np.random.Generator], None]

_NUMBERS = (-(2**31), -1, 0, 1, 2, 7, 255, 4096, 65535, 2**24, 2**31 - 1)
_TEXTS = ("", "../../../etc/passwd", "a" * 70, "Doe^John", "=1+1", "\x1b[2J", "series-zz", "0" * 64, "null")


def mutations() -> dict[str, Mutation]:
    """Name and function of every kind of mutation; each changes a store in place."""
    return {
        "flipped bit": _flipped,
        "cut file": _cut,
        "overwritten part": _overwritten,
        "file gone": _gone,
        "file is a pipe": _pipe,
        "file is a folder": _folder,
        "manifest field": _manifest_field,
        "set aside": _set_aside,
        "series field": _series_field,
        "slices field": _slices_field,
        "column gone": _column_gone,
        "column of another type": _column_type,
        "rows gone": _rows_gone,
        "rows doubled": _rows_doubled,
        "chunk of another size": _chunk_size,
        "chunk body": _chunk_body,
        "chunk header": _chunk_header,
        "many rows": _many_rows,
        "pending damage": _pending_damage,
        "pending field": _pending_field,
    }


def _files(store: Path) -> list[Path]:
    return sorted(file for file in store.rglob("*") if file.is_file() and file.name != "writer.lock")


def _any_file(store: Path, random: np.random.Generator) -> Path:
    files = _files(store)
    return files[random.integers(len(files))]


def _flipped(store: Path, random: np.random.Generator) -> None:
    file = _any_file(store, random)
    content = bytearray(file.read_bytes())
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    file.write_bytes(content)


def _cut(store: Path, random: np.random.Generator) -> None:
    file = _any_file(store, random)
    content = file.read_bytes()
    file.write_bytes(content[: random.integers(len(content))])


def _overwritten(store: Path, random: np.random.Generator) -> None:
    file = _any_file(store, random)
    content = bytearray(file.read_bytes())
    start = random.integers(len(content))
    content[start : start + 40] = random.bytes(int(random.integers(1, 80)))
    file.write_bytes(content)


def _gone(store: Path, random: np.random.Generator) -> None:
    _any_file(store, random).unlink()


def _pipe(store: Path, random: np.random.Generator) -> None:
    file = _any_file(store, random)
    file.unlink()
    os.mkfifo(file)


def _folder(store: Path, random: np.random.Generator) -> None:
    file = _any_file(store, random)
    file.unlink()
    file.mkdir()


def _value(random: np.random.Generator) -> Any:
    values = (*_NUMBERS, *_TEXTS, None, True, 1.5, float("nan"), [], {}, [[[]]])
    return values[random.integers(len(values))]


def _manifest_field(store: Path, random: np.random.Generator) -> None:
    names = ("format", "version", "source_kind", "generation", "index", "other")
    value = _value(random)
    if random.random() < 0.2:
        (store / MANIFEST).write_text('{"format": "monai_ext slice store", "version": ' + "[" * 20000)
        return
    reseal(store, **{names[random.integers(len(names))]: value})


def _set_aside(store: Path, random: np.random.Generator) -> None:
    entry = [["series-a1", int(random.choice(_NUMBERS))], _value(random), [_value(random), 0]][random.integers(3)]
    content: Any = {"slices": [entry]}
    (store / SET_ASIDE).write_bytes(sealed(content) if random.random() < 0.5 else json.dumps([entry]).encode())


def _table(store: Path, name: str) -> tuple[Path, pa.Table]:
    file = next((store / "index").glob(f"{name}-*.parquet"))
    return file, pq.read_table(file)


def _save(store: Path, file: Path, table: pa.Table) -> None:
    pq.write_table(table, file, compression="zstd")
    reseal(store)


def _change(table: pa.Table, name: str, random: np.random.Generator) -> pa.Table:
    """Another value of the column's own type in a row."""
    values = table.column(name).to_pylist()
    row = int(random.integers(len(values)))
    values[row] = _other(values[row], random)
    kind = table.schema.field(name).type
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


def _other(value: Any, random: np.random.Generator) -> Any:
    if random.random() < 0.1:
        return None
    if isinstance(value, list):
        changed = list(value)
        if random.random() < 0.5:
            changed[random.integers(len(changed))] = int(random.choice([n for n in _NUMBERS if n >= 0]))
            return changed
        return changed[:-1] if random.random() < 0.5 else [*changed, 7]
    if isinstance(value, int):
        return int(random.choice(_NUMBERS))
    if isinstance(value, str) or value is None:
        return str(random.choice(_TEXTS))
    return float(random.choice([-1e300, np.inf, np.nan, 0.0, 1e-300]))


def _series_field(store: Path, random: np.random.Generator) -> None:
    file, table = _table(store, "series")
    _save(store, file, _change(table, table.column_names[random.integers(len(table.column_names))], random))


def _slices_field(store: Path, random: np.random.Generator) -> None:
    file, table = _table(store, "slices")
    names = [name for name in table.column_names if table.column(name).null_count < len(table)]
    name = names[random.integers(len(names))]
    try:
        _save(store, file, _change(table, name, random))
    except (pa.ArrowException, TypeError):  # a text in a column of numbers
        _save(store, file, table.drop_columns([name]))


def _column_gone(store: Path, random: np.random.Generator) -> None:
    file, table = _table(store, ("series", "slices")[random.integers(2)])
    _save(store, file, table.drop_columns([table.column_names[random.integers(len(table.column_names))]]))


def _column_type(store: Path, random: np.random.Generator) -> None:
    file, table = _table(store, ("series", "slices")[random.integers(2)])
    name = table.column_names[random.integers(len(table.column_names))]
    texts = pa.array([str(value) for value in table.column(name).to_pylist()], pa.large_string())
    _save(store, file, table.set_column(table.column_names.index(name), name, texts))


def _rows_gone(store: Path, random: np.random.Generator) -> None:
    file, table = _table(store, ("series", "slices")[random.integers(2)])
    _save(store, file, table.slice(0, int(random.integers(len(table)))))


def _rows_doubled(store: Path, random: np.random.Generator) -> None:
    file, table = _table(store, ("series", "slices")[random.integers(2)])
    _save(store, file, pa.concat_tables([table, table.slice(int(random.integers(len(table))), 1)]))


def _many_rows(store: Path, random: np.random.Generator) -> None:
    """A short file that stands for a hundred million rows."""
    file, table = _table(store, ("series", "slices")[random.integers(2)])
    rows = 2_000_000
    few = table.slice(0, 1)
    pq.write_table(few.take(pa.array(np.zeros(rows, np.int32))), file, compression="zstd")
    reseal(store)


def _replace_chunk(store: Path, random: np.random.Generator, change: Callable[[bytes], bytes]) -> None:
    """Change a slice's chunk, and length and checksum with it."""
    file, table = _table(store, "series")
    row = int(random.integers(len(table)))
    about = table.to_pylist()[row]
    places = [number for number, length in enumerate(about["lengths"]) if length]
    number = places[random.integers(len(places))]
    pixels = next((store / "series").rglob(f"{about['series_id']}.b2nd"))
    offset, length = about["offsets"][number], about["lengths"][number]
    chunk = change(pixels.read_bytes()[offset : offset + length])
    about["offsets"][number], about["lengths"][number] = pixels.stat().st_size, len(chunk)
    about["checksums"][number] = zlib.crc32(chunk)
    pixels.write_bytes(pixels.read_bytes() + chunk)
    rows = table.to_pylist()
    rows[row] = about
    _save(store, file, pa.Table.from_pylist(rows, schema=table.schema))


def _chunk_size(store: Path, random: np.random.Generator) -> None:
    """A well-formed chunk of more or fewer bytes than the slice has."""
    import blosc2

    size = int(random.choice([1, 2, 300, 4096, 2**22]))
    pixels = np.zeros(size, np.uint8) if random.random() < 0.5 else random.integers(0, 255, size).astype(np.uint8)
    _replace_chunk(store, random, lambda chunk: blosc2.compress2(pixels, typesize=int(random.integers(1, 3))))


def _chunk_body(store: Path, random: np.random.Generator) -> None:
    def change(chunk: bytes) -> bytes:
        content = bytearray(chunk)
        for _ in range(int(random.integers(1, 4))):
            content[random.integers(min(32, len(content) - 1), len(content))] = int(random.integers(256))
        return bytes(content)

    _replace_chunk(store, random, change)


def _chunk_header(store: Path, random: np.random.Generator) -> None:
    def change(chunk: bytes) -> bytes:
        content = bytearray(chunk)
        content[random.integers(32)] = int(random.integers(256))
        return bytes(content[: random.integers(1, 40)] if random.random() < 0.2 else content)

    _replace_chunk(store, random, change)


def _pending(store: Path) -> Path:
    return next((store / "pending").glob("*.arrow"))


def _as_old(file: Path, content: bytes) -> None:
    """Without a checksum in its name, as older versions wrote it, so that only its content can tell."""
    file.unlink()
    file.with_name(f"{file.name.split('.')[0]}.arrow").write_bytes(content)


def _pending_damage(store: Path, random: np.random.Generator) -> None:
    file = _pending(store)
    content = bytearray(file.read_bytes())
    for _ in range(int(random.integers(1, 4))):
        content[random.integers(len(content))] = int(random.integers(256))
    _as_old(file, bytes(content))


def _pending_field(store: Path, random: np.random.Generator) -> None:
    file = _pending(store)
    with pa.ipc.open_file(file.read_bytes()) as opened:
        table = opened.read_all()
    series = json.loads(table.schema.metadata[b"series"])
    name = list(series[0])[random.integers(len(series[0]))]
    series[0][name] = _other(series[0][name], random) if random.random() < 0.7 else _value(random)
    table = table.replace_schema_metadata({"series": json.dumps(series)})
    options = pa.ipc.IpcWriteOptions(compression="zstd" if random.random() < 0.3 else None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    _as_old(file, sink.getvalue().to_pybytes())


def mutated(copy: Callable[[], Path], *, count: int, seed: int, kind: str | None = None) -> Iterator[tuple[str, Path]]:
    """Yield copies of a store, each with one mutation, of one kind or the kinds in turn."""
    kinds = [(name, mutate) for name, mutate in mutations().items() if kind in (None, name)]
    for number in range(count):
        name, mutate = kinds[number % len(kinds)]
        target = copy()
        mutate(target, np.random.default_rng([seed, number]))
        yield name, target
