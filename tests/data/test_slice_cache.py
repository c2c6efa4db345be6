"""Decoded slices in shared memory."""

from __future__ import annotations

import multiprocessing
import pickle
import sys

import numpy as np
import pytest

from monai_ext.data.slice_cache import SliceCache


def _cache(*, slices: int = 3, gib: float = 1.0) -> SliceCache:
    return SliceCache(slices, size=4, dtype=np.dtype(np.int16), gib=gib)


def test_a_slice_comes_back_as_it_was_put_in() -> None:
    cache, pixels = _cache(), np.arange(16, dtype=np.int16).reshape(4, 4)
    assert cache.get(1) is None
    cache.put(1, pixels)
    np.testing.assert_array_equal(cache.get(1), pixels)
    assert len(cache) == 1


def test_what_comes_back_cannot_be_changed() -> None:
    cache = _cache()
    cache.put(0, np.zeros((4, 4), dtype=np.int16))
    kept = cache.get(0)
    assert kept is not None
    with pytest.raises(ValueError, match="read-only"):
        kept[0, 0] = 1


def test_slices_beyond_its_size_are_not_kept() -> None:
    cache = _cache(gib=2.5 * 32 / 2**30)
    assert cache.capacity == 2
    cache.put(2, np.ones((4, 4), dtype=np.int16))
    assert cache.get(2) is None


def test_no_memory_keeps_nothing() -> None:
    cache = _cache(gib=0)
    cache.put(0, np.ones((4, 4), dtype=np.int16))
    assert cache.get(0) is None


def test_a_pickled_cache_arrives_empty_and_works() -> None:
    cache = _cache()
    cache.put(0, np.ones((4, 4), dtype=np.int16))
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(0) is None
    copy.put(0, np.full((4, 4), 5, dtype=np.int16))
    assert copy.get(0).max() == 5
    assert cache.get(0).max() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_what_a_forked_process_puts_in_is_seen_here() -> None:
    cache = _cache()
    worker = multiprocessing.get_context("fork").Process(target=cache.put, args=(2, np.full((4, 4), 9, dtype=np.int16)))
    worker.start()
    worker.join()
    kept = cache.get(2)
    assert kept is not None
    assert kept.max() == 9
