"""The precision in a JPEG stream's header."""

from __future__ import annotations

import pytest

from helpers.compressed_streams import STREAMS
from monai_ext.decoders.jpeg_header import dct_precision

STEM = "1.2.840.10008.1.2.4."


@pytest.mark.parametrize(
    ("number", "bits"), [("51", 12), ("53", 12), ("55", 12), ("57", None), ("70", None), ("201", None)]
)
def test_streams_of_cosine_transforms_tell_their_bits_and_others_none(number: str, bits: int | None) -> None:
    assert dct_precision(STREAMS[STEM + number]) == bits


@pytest.mark.parametrize("stream", ["", "ff", "ffd8", "ffd8ffdb", "ffd8ffdb0003", "ffd8ffffc1000b0c", "00112233445566"])
def test_what_ends_early_or_is_none_is_no_error(stream: str) -> None:
    assert dct_precision(bytes.fromhex(stream)) in (None, 12)
