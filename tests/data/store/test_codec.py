from __future__ import annotations

import numpy as np
import pytest

from monai_ext.data.store.codec import decompress_slice, pack_series


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


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 127, 33), (2, 128, 40), (4, 301, 50)])
def test_the_frame_is_the_one_that_blosc2_makes_of_the_array(shape: tuple[int, ...], dtype: type) -> None:
    blosc2 = pytest.importorskip("blosc2")
    slices = np.random.default_rng(0).integers(-20, 20, shape).astype(dtype)
    slices[shape[0] // 2 :] = np.arange(shape[2])
    slices[-1] = 0
    packed = pack_series(slices, [{"patient_id": "patient-01"}] * len(slices))
    array = blosc2.ndarray_from_cframe(packed.frame)
    itself = blosc2.asarray(
        slices, chunks=array.chunks, blocks=array.blocks, contiguous=True, cparams=array.schunk.cparams
    )
    assert packed.frame == itself.to_cframe()
    places = zip(packed.chunks["offsets"], packed.chunks["lengths"], slices, strict=True)
    for offset, length, pixels in places:
        chunk = packed.frame[offset : offset + length]
        read = decompress_slice(chunk, rows=shape[1], columns=shape[2], dtype=slices.dtype)
        assert np.array_equal(read, pixels)
