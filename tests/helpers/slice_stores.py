"""Tiny slice stores for tests."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.store.format import MANIFEST, sealed
from monai_ext.data.store.reader import SliceStoreWriter

SERIES = ("series-a1", "series-b2", "series-c3")


def pixels_of(series: str, *, slices: int = 3, dtype: type = np.int16) -> np.ndarray:
    """Values that tell series and slice apart; the first slice is blank, the second constant, shapes differ."""
    number = SERIES.index(series) if series in SERIES else 7
    shape = (slices, 20 + number, 17 + number)
    pixels = np.random.default_rng(number).integers(0, 200, shape).astype(dtype)
    pixels[0] = 0
    if slices > 1:
        pixels[1] = 100 - 1100 * (dtype is np.int16)
    return pixels


def rows_of(series: str, *, slices: int = 3, **columns: object) -> list[dict[str, object]]:
    """Index rows: one patient a series, 2.5 mm apart."""
    return [{"patient_id": f"patient-{series[-2:]}", "position_mm": 2.5 * i, **columns} for i in range(slices)]


def make_store(folder: Path, series: tuple[str, ...] = SERIES, *, source_kind: str = "ct") -> Path:
    """Write the named series; returns the folder."""
    dtype = np.uint8 if source_kind == "picture" else np.int16
    with SliceStoreWriter.open(folder, source_kind=source_kind) as writer:
        for name in series:
            writer.add_series(name, pixels_of(name, dtype=dtype), rows_of(name), {"files": 3})
    return folder


def reseal(store: Path, **changes: Any) -> None:
    """Change entries of a store's manifest, and make all checksums right again, as somebody hostile would."""
    content = json.loads((store / MANIFEST).read_text())
    content.pop("crc32", None)
    generation = content["generation"]
    for name in content["index"]:
        file = store / "index" / f"{name}-{generation:08d}.parquet"
        content["index"][name] = zlib.crc32(file.read_bytes()) if file.exists() else 0
    (store / MANIFEST).write_bytes(sealed(content | changes))
