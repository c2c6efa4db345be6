from __future__ import annotations

import numpy as np
import pytest

from monai_ext.data.store.codec import decompress_slice


@pytest.mark.parametrize("size", [1, 4095, 2**22])
def test_a_chunk_of_another_size_is_refused_before_it_is_decompressed(size: int) -> None:
    blosc2 = pytest.importorskip("blosc2")
    chunk = blosc2.compress2(np.zeros(size, np.uint8), typesize=1)
    with pytest.raises(ValueError, match=r"declares .* and a slice of its shape has 4096"):
        decompress_slice(chunk, rows=64, columns=32, dtype=np.dtype(np.int16))


def test_a_codec_that_no_store_uses_is_refused() -> None:
    blosc2 = pytest.importorskip("blosc2")
    pixels = np.arange(64 * 32, dtype=np.int16)
    chunk = blosc2.compress2(pixels, cparams=blosc2.CParams(codec=blosc2.Codec.ZSTD, typesize=2, blocksize=4096))
    with pytest.raises(ValueError, match="in a way that no slice store uses"):
        decompress_slice(chunk, rows=64, columns=32, dtype=np.dtype(np.int16))
