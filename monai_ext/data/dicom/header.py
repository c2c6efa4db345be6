"""Reads what a DICOM file says about itself, without trusting it: with or without its pixels."""

from __future__ import annotations

import io
import logging
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.files import open_regular

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PHILIPS_TAGS", "Header", "has_dicom_mark", "quiet_pydicom", "read_header", "read_whole"]

LARGEST_INFLATED_BYTES = 2**29
"""What a deflated file may become: 512 MiB hold 1,024 slices of 512 x 512."""

MOST_ELEMENTS = 20_000
"""Elements outside sequences of a file that is believed; real ones have hundreds, parsing millions takes minutes."""

LARGEST_ELEMENT_BYTES = 2**28
"""An element before the pixels that is believed: functional groups of 10,000 frames take some 30 MiB."""

LARGEST_WHOLE_BYTES = 2**32
"""A file that is read with its compressed pixels."""

PHILIPS_TAGS = (0x20050010, 0x2005100E)
"""Philips' private block of MR, and in it Scale Slope, by which displayed values become the scanner's own."""

_PREAMBLE, _MARK = 128, b"DICM"
_PIXEL_TAGS = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData"}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _DEFLATED, "1.2.840.10008.1.2.2")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_NEVER = 2**32
_SILENT = logging.CRITICAL + 1
_KEYWORDS = (
    "SpecificCharacterSet ImageType SOPClassUID SOPInstanceUID Modality BurnedInAnnotation PatientName PatientID"
    " PatientBirthDate StudyInstanceUID SeriesInstanceUID BodyPartExamined SliceThickness GantryDetectorTilt"
    " ConvolutionKernel ImagePositionPatient ImageOrientationPatient PixelSpacing SharedFunctionalGroupsSequence"
    " PerFrameFunctionalGroupsSequence SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns"
    " BitsAllocated BitsStored HighBit PixelRepresentation RescaleIntercept RescaleSlope RescaleType"
    " ModalityLUTSequence PixelPaddingValue PixelPaddingRangeLimit LossyImageCompression"
)


@dataclass(frozen=True)
class Header:
    """Elements of a file, and where its pixels are.

    Args:
        path: the file.
        dataset: the elements; without pixels when read by :func:`read_header`.
        transfer_syntax: UID of the encoding, empty where the file does not say (implicit little endian).
        pixel_keyword: PixelData, FloatPixelData or DoubleFloatPixelData; None where there are no pixels.
        pixel_at: place of the pixels in the file; -1 where there are none, or where the file is deflated.
        pixel_bytes: length of the pixels; -1 where it is not given, as for compressed pixels.
        pixel_vr: their value representation, empty where the encoding does not say.
    """

    path: Path
    dataset: Dataset
    transfer_syntax: str
    pixel_keyword: str | None = None
    pixel_at: int = -1
    pixel_bytes: int = -1
    pixel_vr: str = ""

    @property
    def is_native(self) -> bool:
        """Whether the pixels are not compressed."""
        return self.transfer_syntax in _NATIVE

    @property
    def can_read_pixels(self) -> bool:
        """Whether :meth:`read_pixels` works although the pixels were not read with the elements."""
        return self.is_native and self.pixel_at >= 0 and self.pixel_bytes >= 0

    def read_pixels(self, start: int, count: int) -> bytes:
        """Bytes of the pixel element as they are in the file; fewer where it ends."""
        if self.pixel_keyword is None:
            return b""
        if self.pixel_keyword in self.dataset:
            return (self.dataset.get_item(self.pixel_keyword).value or b"")[start : start + count]
        with open_regular(self.path) as stream:
            stream.seek(self.pixel_at + start)
            return stream.read(max(0, min(count, self.pixel_bytes - start)))


def read_header(path: Path, *, until: int = max(_PIXEL_TAGS)) -> Header:
    """Read the elements that decide what a file is, where it belongs, and what its pixels mean, up to its pixels.

    A file without the mark ``DICM`` is tried when it begins like a DICOM element, as very old archives have them.

    Args:
        path: the file.
        until: tag to stop at when it comes before the pixels.

    Raises:
        Refusal: it is no DICOM file, or damaged.
        OSError: it cannot be read at all.
    """
    return _parse(path, until=min(until, *_PIXEL_TAGS), specific_tags=_tags())


def has_dicom_mark(path: Path) -> bool:
    """Whether a file carries DICOM's mark, ``DICM`` at byte 128; False where it cannot be read."""
    try:
        with open_regular(path) as stream:
            return stream.read(_PREAMBLE + len(_MARK))[_PREAMBLE:] == _MARK
    except OSError:
        return False


def read_whole(path: Path) -> Header:
    """Read all elements of a file, with its pixels as they are encoded.

    Raises:
        Refusal: it is no DICOM file, or damaged.
        OSError: it cannot be read at all.
    """
    return _parse(path, until=_NEVER)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from repeating values, which may identify somebody, in warnings and log lines.

    Setting the level takes a millisecond in a program with many loggers, so put it round a loop as well: calls within
    cost nothing.
    """
    from pydicom import config

    logger, settings = logging.getLogger("pydicom"), config.settings
    if logger.level == _SILENT:
        yield
        return
    before = logger.level, settings.reading_validation_mode, settings.writing_validation_mode
    logger.setLevel(_SILENT)
    settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before[0])
        settings.reading_validation_mode, settings.writing_validation_mode = before[1:]


class _GuardedFile(io.BufferedReader):
    """A file that is not believed.

    It refuses to be read as a whole where that is a deflate bomb, since pydicom inflates without a limit, and allocates
    no more than the file has where an element declares gigabytes.
    """

    def __init__(self, path: Path, *, with_pixels: bool) -> None:
        super().__init__(open_regular(path).detach())  # type: ignore[attr-defined]
        self._bytes = os.fstat(self.fileno()).st_size
        self._most = LARGEST_WHOLE_BYTES if with_pixels else LARGEST_ELEMENT_BYTES
        if with_pixels and self._bytes > LARGEST_WHOLE_BYTES:
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, "its pixels are compressed and it is larger than 4 GiB")

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            self._refuse_bomb()
            return super().read()
        if min(size, self._bytes) > self._most:
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, "an element before its pixels is larger than 256 MiB")
        return super().read(min(size, self._bytes))

    def _refuse_bomb(self) -> None:
        start, size = self.tell(), 0
        if self._bytes > LARGEST_INFLATED_BYTES:
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, "it is deflated and larger than 512 MiB all the same")
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while piece := super().read(2**16):
            while piece and size <= LARGEST_INFLATED_BYTES:
                size += len(inflater.decompress(piece, 2**24))
                piece = inflater.unconsumed_tail
            if size > LARGEST_INFLATED_BYTES:
                raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, "its deflated content is larger than 512 MiB")
        self.seek(start)


def _parse(path: Path, *, until: int, **options: Any) -> Header:
    from pydicom.filereader import read_partial

    elements = 0
    pixels: dict[str, Any] = {}

    def look(tag: int, vr: str | None, length: int) -> bool:
        """Called by pydicom for every element outside sequences, before its value is read."""
        nonlocal elements
        elements += 1
        if elements > MOST_ELEMENTS:
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"it has more than {MOST_ELEMENTS} elements")
        if int(tag) in _PIXEL_TAGS and not pixels:
            pixels.update(pixel_keyword=_PIXEL_TAGS[int(tag)], pixel_at=stream.tell(), pixel_vr=vr or "")
            pixels["pixel_bytes"] = -1 if length == _UNDEFINED_LENGTH else length
        return int(tag) >= until

    with _GuardedFile(path, with_pixels=until == _NEVER) as stream, quiet_pydicom():
        has_mark = _begins_like_dicom(stream)
        try:
            dataset = read_partial(stream, stop_when=look, force=not has_mark, **options)
        except (Refusal, MemoryError):
            raise
        except Exception as error:  # pydicom raises errors of many types on damaged files
            raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
    if not has_mark and "SOPClassUID" not in dataset:
        raise Refusal(SkipReason.NOT_DICOM)
    syntax = _transfer_syntax(dataset)
    if syntax == _DEFLATED and pixels:
        pixels["pixel_at"] = -1
    return Header(path, dataset, syntax, **pixels)


def _begins_like_dicom(stream: io.BufferedReader) -> bool:
    """Whether a file has DICOM's mark; the stream is left at its beginning.

    Raises:
        Refusal: it has no mark and does not begin with a low element of group 0002 or 0008 either.
    """
    beginning = stream.read(_PREAMBLE + len(_MARK))
    stream.seek(0)
    if beginning[_PREAMBLE:] == _MARK:
        return True
    group, element = (int.from_bytes(beginning[place : place + 2], "little") for place in (0, 2))
    if len(beginning) < _PREAMBLE or group not in (2, 8) or element > 0x20:
        raise Refusal(SkipReason.NOT_DICOM)
    return False


def _transfer_syntax(dataset: Dataset) -> str:
    try:
        return str(dataset.file_meta.get("TransferSyntaxUID") or "")
    except Exception:  # a damaged element surfaces as errors of many types
        raise Refusal(SkipReason.DAMAGED, "TransferSyntaxUID (0002,0010) cannot be parsed") from None


@cache
def _tags() -> list[int]:
    from pydicom.datadict import tag_for_keyword

    return [tag for keyword in _KEYWORDS.split() if (tag := tag_for_keyword(keyword)) is not None] + list(PHILIPS_TAGS)
