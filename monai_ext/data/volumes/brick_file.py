"""A volume on disk in compressed bricks: any part of it is read without the rest.

::

    bricks, one after the other, each compressed for itself
    index: offset, length, CRC-32 and share of tissue of every brick; four arrays
    footer: magic, depth, height, width, number of the voxels' bricks, CRC-32 of the index

It is written in one pass from the first slice to the last, 32 slices being in memory at a time, and takes its name when
it is complete. A reader opens the file for each read: nothing is mapped, so that a file which is cut meanwhile is an
error and not the end of the process, and workers may be forked or spawned.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monai_ext.data.volumes.resampling import AIR_HU
from monai_ext.errors import DatasetError
from monai_ext.files import open_regular, write_atomically

__all__ = ["BRICK", "BrickFile", "write_bricks"]

BRICK = 32
"""Voxels along a side of a brick."""

_MAGIC = b"MXBRICK1"
_FOOTER = struct.Struct("<8s4qI")
_INDEX = np.dtype([("offset", "<i8"), ("length", "<i4"), ("checksum", "<u4"), ("tissue", "<f4")])
_TISSUE_HU = -900
"""What is above is no air: lungs begin at some -900 HU."""


def write_bricks(path: Path, slices: Iterable[np.ndarray], *, shape: Sequence[int]) -> None:
    """Write a volume, complete or not at all.

    Args:
        path: of the file, in an existing folder.
        slices: (height, width), int16, one after the other.
        shape: number, height and width of the slices.

    Raises:
        OSError: the disk refuses.
    """
    write_atomically(path, lambda file: _write(file, iter(slices), tuple(shape)))


class BrickFile:
    """A volume that :func:`write_bricks` wrote.

    Args:
        path: of the file; its index is read when it is first needed.

    Attributes:
        shape: number, height and width of the slices.

    Raises:
        DatasetError: the file is damaged, or something else.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_regular(path) as file:
            end = os.fstat(file.fileno()).st_size
            footer = os.pread(file.fileno(), _FOOTER.size, max(0, end - _FOOTER.size))
            if len(footer) != _FOOTER.size or not footer.startswith(_MAGIC):
                raise self._damaged("it has no footer")
            _, depth, height, width, bricks, checksum = _FOOTER.unpack(footer)
            self.shape = (depth, height, width)
            size = bricks * _INDEX.itemsize
            is_possible = min(self.shape) > 0 and 0 < size < end and bricks == np.prod(self.grid)
            index = os.pread(file.fileno(), size, end - _FOOTER.size - size) if is_possible else b""
        if not is_possible or zlib.crc32(index + footer[:-4]) != checksum:
            raise self._damaged("its index does not match its checksum")
        self._index = np.frombuffer(index, _INDEX).reshape(self.grid)

    @property
    def grid(self) -> tuple[int, ...]:
        """Bricks along each axis."""
        return tuple(-(-side // BRICK) for side in self.shape)

    def read(self, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
        """A part of the volume, int16 of shape ``size``; air where it reaches beyond the volume.

        Raises:
            DatasetError: a brick is damaged or missing.
        """
        part = np.full(tuple(size), AIR_HU, np.int16)
        try:
            with open_regular(self.path) as file:
                for place in self._bricks_of(start, size):
                    inner, outer = _overlap(place, start, size, self.shape)
                    part[outer] = self._brick(file, place)[inner]
        except OSError as error:
            raise self._damaged(error.strerror or type(error).__name__) from error
        return part

    def tissue(self, start: Sequence[int], size: Sequence[int]) -> float:
        """Which share of a part of the volume is no air, 0 to 1, by the shares of the bricks that it cuts."""
        total = 0.0
        for place in self._bricks_of(start, size):
            inner, _ = _overlap(place, start, size, self.shape)
            total += float(self._index[place]["tissue"]) * float(np.prod([side.stop - side.start for side in inner]))
        return total / float(np.prod(size))

    def _bricks_of(self, start: Sequence[int], size: Sequence[int]) -> Iterator[tuple[int, ...]]:
        sides = zip(start, size, self.shape, strict=True)
        yield from product(
            *(range(max(0, first) // BRICK, -(-min(first + count, side) // BRICK)) for first, count, side in sides)
        )

    def _brick(self, file: BinaryIO, place: tuple[int, ...]) -> np.ndarray:
        import blosc2

        entry = self._index[place]
        content = os.pread(file.fileno(), int(entry["length"]), int(entry["offset"]))
        if len(content) != entry["length"] or zlib.crc32(content) != entry["checksum"]:
            raise self._damaged("a brick does not match its checksum")
        brick = np.empty((BRICK,) * 3, np.int16)
        blosc2.decompress2(content, dst=brick, nthreads=1)  # a pool of threads would be lost in forked workers
        return brick

    def _damaged(self, reason: str) -> DatasetError:
        return DatasetError(
            "The prepared volume {file} is damaged: {reason}. Delete it and start again: it is made anew.",
            file=self.path,
            reason=reason,
        )


def _write(file: BinaryIO, slices: Iterator[np.ndarray], shape: tuple[int, ...]) -> None:
    depth, height, width = shape
    rows, columns = (-(-side // BRICK) * BRICK for side in (height, width))
    entries: list[tuple[int, int, int, float]] = []
    for first in range(0, depth, BRICK):
        slab = np.full((BRICK, rows, columns), AIR_HU, np.int16)
        for number in range(min(BRICK, depth - first)):
            slab[number, :height, :width] = next(slices)
        for top, left in product(range(0, rows, BRICK), range(0, columns, BRICK)):
            brick = np.ascontiguousarray(slab[:, top : top + BRICK, left : left + BRICK])
            content = _compressed(brick)
            inside = min(BRICK, depth - first) * min(BRICK, height - top) * min(BRICK, width - left)
            tissue = float((brick > _TISSUE_HU).sum()) / inside
            entries.append((file.tell(), len(content), zlib.crc32(content), tissue))
            file.write(content)
    index = np.array(entries, _INDEX).tobytes()
    head = _FOOTER.pack(_MAGIC, *shape, len(entries), 0)[:-4]
    file.write(index + head + struct.pack("<I", zlib.crc32(index + head)))


def _compressed(brick: np.ndarray) -> bytes:
    import blosc2

    content: Any = blosc2.compress2(
        brick,
        codec=blosc2.Codec.LZ4HC,
        clevel=1,
        typesize=brick.itemsize,
        filters=[blosc2.Filter.SHUFFLE, blosc2.Filter.BYTEDELTA],
        filters_meta=[0, brick.itemsize],
        nthreads=1,
    )
    return bytes(content)


def _overlap(
    place: Sequence[int], start: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a brick and a part of the volume meet: within the brick, and within the part."""
    inner, outer = [], []
    for number, first, count, side in zip(place, start, size, shape, strict=True):
        low = max(first, number * BRICK)
        high = min(first + count, (number + 1) * BRICK, side)
        inner.append(slice(low - number * BRICK, high - number * BRICK))
        outer.append(slice(low - first, high - first))
    return tuple(inner), tuple(outer)
