"""What a JPEG stream says of its samples, without decoding it."""

from __future__ import annotations

__all__ = ["DCT_PRECISIONS", "dct_precision"]

DCT_PRECISIONS = (8, 12)
"""Bits a sample may have in a JPEG of cosine transforms (ISO/IEC 10918-1, table B.2)."""

_FRAMES_OF_DCT = {0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE}
_OTHER_FRAMES = {0xC3, 0xC7, 0xCB, 0xCF}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_SCAN = 0xDA


def dct_precision(stream: bytes) -> int | None:
    """Bits a sample of a JPEG of cosine transforms; None where it is lossless or no frame is found before the data.

    >>> dct_precision(bytes.fromhex("ffd8" "ffc1000b0c001000100101"))
    12
    """
    at = 0
    while at + 4 < len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker in _FRAMES_OF_DCT:
            return stream[at + 4]
        if marker in _OTHER_FRAMES or marker == _SCAN:
            return None
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 if marker in _WITHOUT_LENGTH else 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None
