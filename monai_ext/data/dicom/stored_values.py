"""Stored values of a slice: what the pixel element holds, before rescaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monai_ext.data.dicom.codestream import codestream_shape
from monai_ext.data.dicom.elements import integer
from monai_ext.data.dicom.header import Header, quiet_pydicom
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import LARGEST_SIDE
from monai_ext.decoders.compressed_frame import CompressedFrame
from monai_ext.decoders.failure import DecodingFailed

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["FrameDecoder", "PixelFormat", "read_stored_values"]

FrameDecoder = Callable[[CompressedFrame], np.ndarray]

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_RLE = "1.2.840.10008.1.2.5"
_ALLOCATED = (8, 12, 16, 32)


@dataclass(frozen=True)
class PixelFormat:
    """How stored values are laid out (PS3.5 section 8.1.1): ``bits_stored`` bits end at ``high_bit``."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool

    @classmethod
    def of(cls, dataset: Dataset) -> PixelFormat:
        """Read and check the description.

        Raises:
            Refusal: it is incomplete or contradicts itself.
        """
        rows, columns = (integer(dataset, keyword) or 0 for keyword in ("Rows", "Columns"))
        if not (0 < rows <= LARGEST_SIDE and 0 < columns <= LARGEST_SIDE):
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"Rows (0028,0010) x Columns (0028,0011) is {rows} x {columns}")
        allocated = integer(dataset, "BitsAllocated")
        if allocated not in _ALLOCATED:
            raise Refusal(SkipReason.PIXEL_FORMAT, f"BitsAllocated (0028,0100) is {allocated}, not one of {_ALLOCATED}")
        stored = integer(dataset, "BitsStored")
        stored = allocated if stored is None else stored
        high = integer(dataset, "HighBit")
        high = stored - 1 if high is None else high
        if not (1 <= stored <= allocated and stored - 1 <= high < allocated):
            text = f"BitsStored (0028,0101) {stored} and HighBit (0028,0102) {high} do not fit {allocated} bits"
            raise Refusal(SkipReason.PIXEL_FORMAT, text)
        representation = integer(dataset, "PixelRepresentation") or 0
        if representation not in (0, 1):
            raise Refusal(SkipReason.PIXEL_FORMAT, "PixelRepresentation (0028,0103) is neither 0 nor 1")
        return cls(rows, columns, allocated, stored, high, bool(representation))

    @property
    def frame_bits(self) -> int:
        """Bits of one frame without compression."""
        return self.rows * self.columns * self.bits_allocated


def read_stored_values(header: Header, *, frame: int, decode: FrameDecoder) -> tuple[np.ndarray, np.ndarray]:
    """Decode one frame.

    Args:
        header: a file, with its pixels (:func:`~monai_ext.data.dicom.header.read_whole`) unless ``can_read_pixels``.
        frame: number of the frame, from 0.
        decode: decodes a compressed frame, here or in a process of its own.

    Returns:
        (rows, columns) integers: stored values, from which bits that do not belong to them (such as old overlays) are
        removed, and the values as they were written with these bits, as padding may be declared either way.

    Raises:
        Refusal: the pixels are missing, cut, contradict their description, or cannot be decoded.
    """
    if header.pixel_keyword is None:
        raise Refusal(SkipReason.NO_PIXELS)
    if header.pixel_keyword != "PixelData":
        raise Refusal(SkipReason.PIXEL_FORMAT, f"{header.pixel_keyword}: pixels are floating point")
    layout = PixelFormat.of(header.dataset)
    if (integer(header.dataset, "SamplesPerPixel") or 1) != 1:
        raise Refusal(SkipReason.NOT_GRAYSCALE, "SamplesPerPixel (0028,0002)")
    words = _native(header, layout, frame) if header.is_native else _compressed(header, layout, frame, decode)
    high_bit = layout.high_bit if header.is_native or header.transfer_syntax == _RLE else layout.bits_stored - 1
    values = _remove_foreign_bits(words, layout, high_bit=high_bit)
    if layout.bits_stored == 8 * words.itemsize:
        return values, values
    return values, words.view(f"i{words.itemsize}") if layout.is_signed else words


def _native(header: Header, layout: PixelFormat, frame: int) -> np.ndarray:
    """Unsigned words (rows, columns) of a frame that is not compressed."""
    first_bit = frame * layout.frame_bits
    start = first_bit // 16 * 2  # words of 16 bits are taken whole, since big endian swaps their bytes
    needed = -(-(first_bit + layout.frame_bits) // 8) - start
    content = header.read_pixels(start, needed + needed % 2)
    if len(content) < needed:
        text = f"PixelData (7fe0,0010) has {start + len(content)} bytes, {start + needed} are declared"
        raise Refusal(SkipReason.CUT_PIXELS, text)
    is_big = header.transfer_syntax == _BIG_ENDIAN
    if is_big and (layout.bits_allocated == 12 or (layout.bits_allocated == 8 and header.pixel_vr != "OB")):
        content = np.frombuffer(content[: len(content) // 2 * 2], ">u2").astype("<u2").tobytes()
    if layout.bits_allocated == 12:
        return _unpack_12_bit(content, first_bit - 8 * start, layout)
    dtype = np.dtype(f"{'>' if is_big else '<'}u{layout.bits_allocated // 8}")
    words = np.frombuffer(content, dtype, count=layout.rows * layout.columns, offset=first_bit // 8 - start)
    return words.astype(words.dtype.newbyteorder("="), copy=False).reshape(layout.rows, layout.columns)


def _unpack_12_bit(content: bytes, first_bit: int, layout: PixelFormat) -> np.ndarray:
    """Two values in three bytes, the first in the low bits (PS3.5 annex D.2)."""
    count = 3 * layout.rows * layout.columns
    packed = np.frombuffer(content, np.uint8)
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[first_bit // 4 : first_bit // 4 + count]
    low, middle, high = nibbles.reshape(-1, 3).astype(np.uint16).T
    return (low | middle << 4 | high << 8).reshape(layout.rows, layout.columns)


def _compressed(header: Header, layout: PixelFormat, frame: int, decode: FrameDecoder) -> np.ndarray:
    """Unsigned words (rows, columns) of a compressed frame."""
    from pydicom.encaps import get_frame

    count = integer(header.dataset, "NumberOfFrames") or 1
    try:
        with quiet_pydicom():
            stream = get_frame(header.dataset.get_item("PixelData").value, frame, number_of_frames=count)
    except MemoryError:
        raise
    except Exception as error:  # damaged elements surface as errors of many types
        raise Refusal(SkipReason.UNDECODABLE, f"PixelData (7fe0,0010): {type(error).__name__}") from None
    _refuse_other_shape(stream, layout)
    try:
        with quiet_pydicom():
            values = decode(
                CompressedFrame(
                    transfer_syntax=header.transfer_syntax,
                    stream=stream,
                    rows=layout.rows,
                    columns=layout.columns,
                    bits_allocated=layout.bits_allocated,
                    bits_stored=layout.bits_stored,
                    is_signed=layout.is_signed,
                )
            )
    except DecodingFailed as failure:
        raise Refusal(SkipReason(failure.reason), failure.detail) from None
    return values.view(f"u{values.dtype.itemsize}")


def _refuse_other_shape(stream: bytes, layout: PixelFormat) -> None:
    """Compare what the compressed stream says with Rows and Columns, before a decoder allocates memory for it."""
    shape = codestream_shape(stream)
    if shape is not None and shape != (layout.rows, layout.columns):
        text = f"the compressed image is {shape[0]} x {shape[1]}, declared are {layout.rows} x {layout.columns}"
        raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, text)


def _remove_foreign_bits(words: np.ndarray, layout: PixelFormat, *, high_bit: int) -> np.ndarray:
    """Shift the highest bit to the end of the word and back: what lies beyond is lost, the sign is extended."""
    word_bits = 8 * words.itemsize
    raised = words << (word_bits - 1 - high_bit) if high_bit < word_bits - 1 else words
    raised = raised.view(f"i{words.itemsize}") if layout.is_signed else raised
    return raised >> (word_bits - layout.bits_stored) if layout.bits_stored < word_bits else raised
