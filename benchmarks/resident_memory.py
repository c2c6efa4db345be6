"""What the benchmarks of memory on CPUs share."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 2**20


@contextmanager
def large_blocks_returned_at_once() -> Iterator[None]:
    """Let glibc map every block above 64 KiB by itself, so that resident memory is what is in use."""
    libc = ctypes.CDLL("libc.so.6")
    m_mmap_threshold, m_mmap_max = -3, -4
    libc.mallopt(m_mmap_threshold, 65536)
    libc.mallopt(m_mmap_max, 1 << 20)
    try:
        yield
    finally:
        libc.mallopt(m_mmap_threshold, 32 * MIB)
