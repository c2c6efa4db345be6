"""Damaged and hostile labels tables, lists of near duplicates and splits, made from good ones."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECRET = "secret.png"
"""A picture beside the data's folder, which no table may reach."""

Write = Callable[[Path], object]


def mutations(files: dict[str, bytes], *, count: int, seed: int) -> Iterator[tuple[str, str, Write]]:
    """Yield the kind of a mutation, the name of the file, and what writes it in the place of the good one."""
    rng = random.Random(seed)
    for number in range(count):
        name = sorted(files)[number % len(files)]
        choices: dict[str, Callable[[bytes, random.Random], Write]] = {**BYTES, **ODD_FILES}
        choices |= VALUES if name.endswith(".json") else CELLS
        kind = sorted(choices)[number // len(files) % len(choices)]
        yield kind, name, choices[kind](files[name], rng)


def _content(mutate: Callable[[bytes, random.Random], bytes]) -> Callable[[bytes, random.Random], Write]:
    def make(good: bytes, rng: random.Random) -> Write:
        content = mutate(good, rng)
        return lambda path: path.write_bytes(content)

    return make


def _flip_bits(good: bytes, rng: random.Random) -> bytes:
    content = bytearray(good)
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _cut(good: bytes, rng: random.Random) -> bytes:
    return good[: rng.randrange(len(good))]


def _repeat(good: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(len(good)) for _ in range(2))
    return good[:end] + good[start:end] * rng.randint(1, 20) + good[end:]


def _insert(piece: bytes) -> Callable[[bytes, random.Random], bytes]:
    def mutate(good: bytes, rng: random.Random) -> bytes:
        at = rng.randrange(len(good))
        return good[:at] + piece + good[at:]

    return mutate


def _noise(good: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(good))


BYTES = {
    "bits flipped": _content(_flip_bits),
    "cut": _content(_cut),
    "a piece repeated": _content(_repeat),
    "zeros": _content(_insert(bytes(100))),
    "no UTF-8": _content(_insert(b"\xff\xfe\xc0")),
    "quotes": _content(_insert(b'"')),
    "deep": _content(lambda good, rng: rng.choice([b"[", b'{"a":', b'"']) * 200_000),
    "UTF-16": _content(lambda good, rng: good.decode().encode("utf-16")),
    "noise": _content(_noise),
    "empty": _content(lambda good, rng: b""),
}

ODD_FILES: dict[str, Callable[[bytes, random.Random], Write]] = {
    "pipe": lambda good, rng: os.mkfifo,
    "folder": lambda good, rng: Path.mkdir,
    "endless device": lambda good, rng: lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda good, rng: lambda path: path.symlink_to(path.name),
}


def _lines(good: bytes) -> list[list[str]]:
    return [line.split(",") for line in good.decode().splitlines()]


def _table(lines: list[list[str]]) -> bytes:
    return "\n".join(",".join(cells) for cells in lines).encode()


def _replace_cell(*values: str) -> Callable[[bytes, random.Random], bytes]:
    def mutate(good: bytes, rng: random.Random) -> bytes:
        lines = _lines(good)
        line = lines[rng.randrange(1, len(lines))]
        line[rng.randrange(min(2, len(line)))] = rng.choice(values)
        return _table(lines)

    return mutate


def _shift_a_row(good: bytes, rng: random.Random) -> bytes:
    lines = _lines(good)
    line = lines[rng.randrange(len(lines))]
    if rng.random() < 0.5:
        line.insert(rng.randrange(len(line) + 1), "x")
    else:
        line.pop(rng.randrange(len(line)))
    return _table(lines)


def _drop_a_column(good: bytes, rng: random.Random) -> bytes:
    lines = _lines(good)
    column = rng.randrange(len(lines[0]))
    return _table([cells[:column] + cells[column + 1 :] for cells in lines])


def _wide(good: bytes, rng: random.Random) -> bytes:
    return good + b"," * rng.choice([10, 100_000])


PATHS_OUTSIDE = (
    f"../{SECRET}",
    f"images/../../{SECRET}",
    f"up/{SECRET}",
    "link.png",
    "/etc/hostname",
    "/dev/zero",
    "..",
    ".",
)
CELLS = {
    "path outside": _content(_replace_cell(*PATHS_OUTSIDE)),
    "other spelling": _content(_replace_cell("./images/00.png", "images//01.png", "images/../images/02.png")),
    "odd text": _content(_replace_cell("", " ", "=1+1", "x" * 200_000, "\u202e", "images", "nan", "None", "9" * 5000)),
    "row shifted": _content(_shift_a_row),
    "column dropped": _content(_drop_a_column),
    "wide": _content(_wide),
}


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _nodes(child, (*path, key))


def _edit(change: Callable[[Any, Any, random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    """Change one value, given what holds it and its key or place."""

    def mutate(good: bytes, rng: random.Random) -> bytes:
        content = json.loads(good)
        *path, key = rng.choice(list(_nodes(content)))
        holder = content
        for step in path:
            holder = holder[step]
        change(holder, key, rng)
        return json.dumps(content).encode()

    return mutate


_WRONG: tuple[Any, ...] = (None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**400, "", "x", "\ud800", [], {}, [[]])


def _put_wrong(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = rng.choice(_WRONG)


def _put_item(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = rng.choice(["images/00.png", "./images/00.png", f"../{SECRET}", "images/05.png", "images/11.png"])


def _rename(holder: Any, key: Any, rng: random.Random) -> None:
    if isinstance(holder, dict):
        holder[rng.choice(["half", "1e999", "-1", "0.1", "9_per_class", "_per_class", "test"])] = holder.pop(key)
    else:
        holder.append(holder[key])


def _delete(holder: Any, key: Any, rng: random.Random) -> None:
    del holder[key]


VALUES = {
    "wrong value": _content(_edit(_put_wrong)),
    "other item": _content(_edit(_put_item)),
    "renamed": _content(_edit(_rename)),
    "deleted": _content(_edit(_delete)),
    "long number": _content(lambda good, rng: good.replace(b": 1", b": " + b"9" * 5000)),
}
