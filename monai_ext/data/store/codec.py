"""How the slices of a series become bytes, and a chunk's bytes a slice."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_ext.data.store.format import check_table
from monai_ext.errors import SliceStoreError

__all__ = ["PackedSeries", "decompress_slice", "hash_series", "pack_series"]

_BAND_ROWS = 128


@dataclass(frozen=True)
class PackedSeries:
    """A series as it is written: that takes the time of a disk only, so it can be packed in another process.

    Args:
        frame: Blosc2 frame with one chunk a slice.
        dtype: type of the pixels.
        chunks: number, height and width of the slices; offset in the frame, length and CRC-32 of every chunk.
        rows: one row of the index a slice.
        sha256: see :func:`hash_series`.
    """

    frame: bytes
    dtype: np.dtype[Any]
    chunks: dict[str, Any]
    rows: list[dict[str, Any]]
    sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, rows, columns)."""
        return self.chunks["slices"], self.chunks["rows"], self.chunks["columns"]


def pack_series(slices: np.ndarray, table: Sequence[Mapping[str, Any]]) -> PackedSeries:
    """Compress and hash a series.

    Args:
        slices: (n, rows, columns), int16 or uint8, in order of position.
        table: n rows with the columns of ``INDEX_COLUMNS``; ``patient_id`` is required.

    Raises:
        SliceStoreError: the table does not fit, or holds what must not be stored.
    """
    rows = check_table(table, slices=len(slices))
    frame, chunks = _compress(slices)
    return PackedSeries(frame, slices.dtype, chunks, rows, hash_series(slices, rows))


def _compress(slices: np.ndarray) -> tuple[bytes, dict[str, Any]]:
    """Compress a series in memory; returns the Blosc2 frame, and where in it each slice's chunk lies.

    LZ4HC on byte-shuffled differences keeps a CT slice in about 37 % of its size and decodes at 2 GB/s (Zstandard: 29 %
    at 1 GB/s). A block is a band of whole rows, hence a chunk's bytes are the slice's rows in order.
    """
    import blosc2

    count, rows, columns = slices.shape
    array = blosc2.asarray(
        np.ascontiguousarray(slices),
        chunks=(1, rows, columns),
        blocks=(1, _band_rows(rows), columns),
        contiguous=True,
        cparams=blosc2.CParams(
            codec=blosc2.Codec.LZ4HC,
            clevel=1,
            typesize=slices.itemsize,
            filters=[blosc2.Filter.SHUFFLE, blosc2.Filter.BYTEDELTA],
            filters_meta=[0, slices.itemsize],
            nthreads=1,
        ),
    )
    frame = array.to_cframe()
    offsets, lengths, checksums, position = [], [], [], 0
    for number in range(count):
        chunk = array.schunk.get_chunk(number)
        found = frame.find(chunk, position)
        if found < 0 and not slices[number].any():  # a blank slice takes no room in a frame
            chunk, found = b"", position
        if found < 0:
            raise SliceStoreError(
                f"Slice {number} of {count} was not found in its compressed series; please report it."
            )
        offsets.append(found)
        lengths.append(len(chunk))
        checksums.append(zlib.crc32(chunk))
        position = found + len(chunk)
    shape = {"slices": count, "rows": rows, "columns": columns}
    return frame, shape | {"offsets": offsets, "lengths": lengths, "checksums": checksums}


def hash_series(slices: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> str:
    """Identify a series by its values and its index rows, however they are compressed."""
    digest = hashlib.sha256(f"{slices.dtype.name} {slices.shape}\n".encode())
    digest.update(np.ascontiguousarray(slices).astype(slices.dtype.newbyteorder("<"), copy=False).data)
    digest.update(json.dumps(list(rows), sort_keys=True).encode())
    return digest.hexdigest()


def decompress_slice(chunk: bytes, *, rows: int, columns: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Give back the (rows, columns) of a chunk whose checksum was found right; no bytes stand for a blank slice."""
    import blosc2

    if not chunk:
        return np.zeros((rows, columns), dtype)
    padded_rows = -(-rows // _band_rows(rows)) * _band_rows(rows)
    pixels = np.empty((padded_rows, columns), dtype)
    blosc2.decompress2(chunk, dst=pixels, nthreads=1)
    return pixels[:rows]


def _band_rows(rows: int) -> int:
    """Height of the bands that a slice is compressed in: up to 128 rows, which fit a processor core's cache."""
    return -(-rows // -(-rows // _BAND_ROWS))
