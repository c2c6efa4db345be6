"""Keeps decoded slices in memory that all worker processes share, up to a given size."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

__all__ = ["SliceCache"]


class SliceCache:
    """Square slices of one type in anonymous shared memory, filled as they are read.

    Workers that are forked share one cache, so a slice is decoded once, whoever needs it first; two workers that store
    the same slice at the same moment write the same bytes. A worker that is started afresh (``spawn``) begins with an
    empty cache of its own. Memory is taken only as slices arrive.

    Args:
        slices: number of slices of the dataset.
        size: side of a slice in pixels.
        dtype: type of the pixels.
        gib: at most this many GiB are used; slices that do not fit are decoded each time.
    """

    def __init__(self, slices: int, *, size: int, dtype: np.dtype[Any], gib: float) -> None:
        self._size, self._dtype = size, np.dtype(dtype)
        slice_bytes = size * size * self._dtype.itemsize
        self.capacity = min(slices, int(gib * 2**30) // slice_bytes)
        self._allocate()

    def get(self, index: int) -> np.ndarray | None:
        """The slice (size, size), read-only, or None when it is not kept."""
        if index >= self.capacity or not self._filled[index]:
            return None
        return self._pixels[index]

    def put(self, index: int, pixels: np.ndarray) -> None:
        """Keep a slice (size, size) when there is room for it."""
        if index < self.capacity:
            self._writable[index] = pixels
            self._filled[index] = 1

    def __len__(self) -> int:
        """Slices that are kept by now."""
        return int(self._filled.sum())

    def _allocate(self) -> None:
        shape = (self.capacity, self._size, self._size)
        pixels = int(np.prod(shape))
        self._filled = np.frombuffer(mmap.mmap(-1, max(1, self.capacity)), dtype=np.uint8, count=self.capacity)
        buffer = mmap.mmap(-1, max(1, pixels * self._dtype.itemsize))
        self._writable = np.frombuffer(buffer, dtype=self._dtype, count=pixels).reshape(shape)
        self._pixels = self._writable.view()
        self._pixels.flags.writeable = False

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not isinstance(value, np.ndarray)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._allocate()
