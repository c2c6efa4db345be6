"""Every compression that hospitals have is decoded, each damaged stream refused, and nothing crashes."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.compressed_streams import DAMAGED, PICTURE, STREAMS, frame
from monai_ext.decoders import DecodingFailed, compressed_frame, shared_process
from monai_ext.decoders.compressed_frame import decode_apart, decode_here, what_to_install

LOSSLESS_JPEG = "1.2.840.10008.1.2.4.70"
MPEG2 = "1.2.840.10008.1.2.4.100"


@pytest.mark.parametrize("uid", STREAMS)
def test_the_picture_comes_out(uid: str) -> None:
    is_lossy = uid.endswith((".51", ".53", ".55"))
    values = decode_here(frame(uid, STREAMS[uid])).astype(int)
    np.testing.assert_allclose(values, PICTURE, atol=1 if is_lossy else 0)


def test_a_jpeg_of_cosine_transforms_of_16_bits_is_refused_since_decoders_give_wrong_values() -> None:
    extended = LOSSLESS_JPEG.replace(".70", ".51")
    stream = STREAMS[extended].replace(b"\xff\xc1\x00\x0b\x0c", b"\xff\xc1\x00\x0b\x10")
    assert stream != STREAMS[extended]
    with pytest.raises(DecodingFailed, match="undecodable") as raised:
        decode_here(frame(extended, stream))
    assert "of 16 bits, of which decoders give wrong values" in raised.value.detail


def test_decoding_apart_gives_the_same() -> None:
    apart = decode_apart(frame(LOSSLESS_JPEG, STREAMS[LOSSLESS_JPEG]), shared_process())
    here = decode_here(frame(LOSSLESS_JPEG, STREAMS[LOSSLESS_JPEG]))
    assert apart.dtype == here.dtype
    np.testing.assert_array_equal(apart, here)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_stream_costs_itself_only(name: str) -> None:
    with pytest.raises(DecodingFailed, match=r"crash|undecodable") as raised:
        decode_apart(frame(LOSSLESS_JPEG, DAMAGED[name]), shared_process())
    assert "JPEG Lossless" in raised.value.detail
    decoded = decode_apart(frame(LOSSLESS_JPEG, STREAMS[LOSSLESS_JPEG]), shared_process())
    np.testing.assert_array_equal(decoded, PICTURE)


def test_the_damaged_streams_do_end_a_process_that_uses_gdcm() -> None:
    program = (
        "from helpers.compressed_streams import DAMAGED, frame;"
        "from monai_ext.decoders.compressed_frame import _pydicom_values;"
        "from pydicom.pixels import get_decoder;"
        f"uid = {LOSSLESS_JPEG!r};"
        "_pydicom_values(get_decoder(uid), 'gdcm', frame(uid, DAMAGED['uncaught exception in gdcm']))"
    )
    path = f"import sys; sys.path[:] = {sys.path!r};"
    assert subprocess.run([sys.executable, "-c", path + program], capture_output=True).returncode < 0


@pytest.mark.parametrize(
    ("uid", "package"),
    [
        ("1.2.840.10008.1.2.4.51", "python-gdcm"),
        ("1.2.840.10008.1.2.4.55", "SimpleITK"),
        ("1.2.840.10008.1.2.4.57", "python-gdcm"),
        ("1.2.840.10008.1.2.4.80", "pyjpegls"),
        ("1.2.840.10008.1.2.4.90", "pylibjpeg pylibjpeg-openjpeg"),
    ],
)
def test_without_decoders_it_says_which_compression_it_is_and_what_to_install(
    monkeypatch: pytest.MonkeyPatch, uid: str, package: str
) -> None:
    monkeypatch.setattr(compressed_frame, "_attempts", lambda uid: iter(()))
    with pytest.raises(DecodingFailed) as raised:
        decode_here(frame(uid, b"stream"))
    assert raised.value.reason == "missing_codec"
    assert raised.value.detail.endswith(f"({uid}): pip install {package}")


def test_a_compression_that_nothing_reads_is_named() -> None:
    assert what_to_install(MPEG2).startswith("MPEG2 Main Profile")
    assert "export the images again without compression" in what_to_install(MPEG2)


def test_an_unknown_compression_is_not_repeated() -> None:
    assert "1.2.3" not in what_to_install("1.2.3.4.5")


def test_without_itk_gdcm_reads_lossless_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed_frame, "has_itk", lambda: False)
    np.testing.assert_array_equal(decode_here(frame(LOSSLESS_JPEG, STREAMS[LOSSLESS_JPEG])), PICTURE)


def test_baseline_jpeg_of_8_bits_is_read() -> None:
    picture, stream = (PICTURE >> 4).astype(np.uint8), io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=100)
    uid = "1.2.840.10008.1.2.4.50"
    values = decode_here(replace(frame(uid, stream.getvalue()), bits_allocated=8, bits_stored=8))
    np.testing.assert_allclose(values.astype(int), picture, atol=2)
