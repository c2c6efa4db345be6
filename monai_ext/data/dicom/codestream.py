"""Reads the size that a compressed image declares in its own stream, so that no decoder believes an absurd one."""

from __future__ import annotations

__all__ = ["codestream_shape"]

_JPEG, _JPEG_2000, _JP2_BOX = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  "
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def codestream_shape(stream: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG, JPEG-LS or JPEG 2000 stream; None where it is of another kind or damaged."""
    if stream.startswith(_JP2_BOX):
        stream = stream[max(0, stream.find(_JPEG_2000)) :]
    if stream.startswith(_JPEG_2000):
        return _jpeg_2000(stream)
    return _jpeg(stream) if stream.startswith(_JPEG) else None


def _jpeg_2000(stream: bytes) -> tuple[int, int] | None:
    """Marker SIZ (ISO 15444-1 A.5.1): extent and offset of the reference grid."""
    if len(stream) < 24:
        return None
    width, height, left, top = (int.from_bytes(stream[place : place + 4], "big") for place in (8, 12, 16, 20))
    return height - top, width - left


def _jpeg(stream: bytes) -> tuple[int, int] | None:
    """Marker SOF (ISO 10918-1 B.2.2) or SOF55 of JPEG-LS: lines and samples a line."""
    place = 2
    while place + 9 <= len(stream):
        if stream[place] != 0xFF:
            return None
        marker = stream[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in _FRAME_MARKERS:
            rows, columns = (int.from_bytes(stream[at : at + 2], "big") for at in (place + 5, place + 7))
            return rows, columns
        else:
            place += 2 if marker in _NO_LENGTH else 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
    return None
