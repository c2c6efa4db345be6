"""From stored values to Hounsfield units, or to the signal of MR: rescale, padding, and what must be refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.dicom.elements import codes, integer, numbers
from monai_ext.data.dicom.frames import DicomSlice, functional_groups, macro
from monai_ext.data.dicom.header import Header, read_header, read_whole
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.signal import SignalScale, signal_scale
from monai_ext.data.dicom.stored_values import read_stored_values
from monai_ext.decoders import shared_process
from monai_ext.decoders.compressed_frame import CompressedFrame, decode_apart, decode_here
from monai_ext.errors import DicomSeriesError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["SliceReader", "read_hounsfield", "rescale"]

AIR_HU = -1000.0
PADDING_BELOW_HU = -900.0
"""Padding is replaced by air only where it lies below this (or above what tissue has): some files declare 0, which is
water, as padding, and would lose tissue."""

PADDING_ABOVE_HU = 20000.0
HOUNSFIELD_TYPES = ("HU",)


def read_hounsfield(dicom_slice: DicomSlice) -> np.ndarray:
    """Read one slice of CT: float32 (rows, columns) in HU; pixels outside the scanned circle are air, -1000 HU.

    The photometric interpretation does not matter: MONOCHROME1 says how to display values, not what they mean.
    To read many slices of a multi-frame file, use :class:`SliceReader`, which opens it once.

    Raises:
        DicomSeriesError: the file is damaged, has no rescale, is of another unit, or cannot be decoded; the message
            says which element of which file.
    """
    return SliceReader().hounsfield(dicom_slice)


class SliceReader:
    """Reads slices and keeps what it read of the last file, since a multi-frame file holds many of them.

    Args:
        rescale_types: values of RescaleType (0028,1054) that are taken for Hounsfield units; a file without it is, as
            the Standard says for CT (PS3.3 C.11.1.1.2).
        remembered: of how many files the elements (not the pixels) are kept.
        is_isolated: decode compressed pixels in a process of its own, so that a stream that crashes its decoder costs
            one file; False where this process is such a one itself.
    """

    def __init__(
        self,
        *,
        rescale_types: Iterable[str] = HOUNSFIELD_TYPES,
        remembered: int = 1,
        is_isolated: bool = True,
    ) -> None:
        self._rescale_types = tuple(rescale_types)
        self._remembered = remembered
        self._decode_frame = _decode_apart if is_isolated else decode_here
        self._headers: dict[Path, Header] = {}
        self._whole: Header | None = None

    def hounsfield(self, dicom_slice: DicomSlice) -> np.ndarray:
        """Read one slice of CT, see :func:`read_hounsfield`."""
        with _explained(dicom_slice):
            return self.decode(dicom_slice)

    def decode(self, dicom_slice: DicomSlice) -> np.ndarray:
        """The same for callers that sort out what is wrong.

        Raises:
            Refusal: the reason says what is wrong.
            OSError: the file cannot be read.
        """
        header = self._with_pixels(dicom_slice.path)
        stored, as_written = read_stored_values(header, frame=dicom_slice.frame, decode=self._decode_frame)
        groups = _groups(header.dataset, dicom_slice.frame)
        slope, intercept, table = rescale(groups, rescale_types=self._rescale_types)
        values = _look_up(stored, table) if table is not None else _line(stored, slope, intercept)
        _pad_with_air(values, _padding_range(header.dataset), stored=stored, as_written=as_written)
        return values

    def signal_scale(self, dicom_slice: DicomSlice) -> SignalScale:
        """What a slice of MR says about its values, see :func:`~monai_ext.data.dicom.signal.signal_scale`.

        Raises:
            Refusal: it contradicts itself.
            OSError: the file cannot be read.
        """
        dataset = self.header(dicom_slice.path).dataset
        return signal_scale(_groups(dataset, dicom_slice.frame), dataset)

    def decode_signal(self, dicom_slice: DicomSlice, scale: SignalScale, *, origin: str) -> np.ndarray:
        """Read one slice of MR: float32 (rows, columns), of the scanner's own scale; NaN where it is padded.

        What is shown bright is high: MR has no unit that MONOCHROME1 could leave untouched, so such values are turned.

        Args:
            dicom_slice: the slice.
            scale: what :meth:`signal_scale` says of it.
            origin: what all slices of its series have, see :func:`~monai_ext.data.dicom.signal.common_origin`.

        Raises:
            Refusal: the reason says what is wrong.
            OSError: the file cannot be read.
        """
        header = self._with_pixels(dicom_slice.path)
        stored, as_written = read_stored_values(header, frame=dicom_slice.frame, decode=self._decode_frame)
        signal = _line(stored, *scale.line(origin)) if scale.table is None else _look_up(stored, scale.table)
        padding = _padding_range(header.dataset)
        if padding is not None:
            for values in {id(stored): stored, id(as_written): as_written}.values():
                signal[(values >= padding[0]) & (values <= padding[1])] = np.nan
        return -signal if scale.is_turned else signal

    def header(self, path: Path) -> Header:
        """The elements of a file without its pixels.

        Raises:
            Refusal: it is no DICOM file, or damaged.
            OSError: it cannot be read.
        """
        known = self._headers.get(path)
        if known is None:
            known = read_header(path)
            while len(self._headers) >= self._remembered:
                del self._headers[next(iter(self._headers))]
            self._headers[path] = known
        return known

    def _with_pixels(self, path: Path) -> Header:
        header = self.header(path)
        if header.can_read_pixels:
            return header
        if self._whole is None or self._whole.path != path:
            self._whole = None
            self._whole = read_whole(path)
        return self._whole


def _decode_apart(frame: CompressedFrame) -> np.ndarray:
    return decode_apart(frame, shared_process())


def rescale(
    groups: list[Dataset], *, rescale_types: Iterable[str] = HOUNSFIELD_TYPES
) -> tuple[float, float, Dataset | None]:
    """How stored values of a frame become Hounsfield units.

    Args:
        groups: the dataset of a classic object, or the functional groups that apply to a frame, nearest first.
        rescale_types: accepted values of RescaleType (0028,1054).

    Returns:
        slope, intercept, and the item of a modality lookup table, which is used instead where there is one.

    Raises:
        Refusal: there is none, or the result would be no Hounsfield units.
    """
    lookup = macro(groups, "ModalityLUTSequence")
    if lookup is not None:
        _refuse_other_unit(codes(lookup, "ModalityLUTType"), rescale_types, "ModalityLUTType (0028,3004)", needed=True)
        return 1.0, 0.0, lookup
    item = macro(groups, "PixelValueTransformationSequence") or groups[0]
    slope, intercept = (numbers(item, keyword, count=1) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or intercept is None:
        element = "RescaleSlope (0028,1053)" if slope is None else "RescaleIntercept (0028,1052)"
        raise Refusal(SkipReason.NO_RESCALE, f"{element} is missing")
    if slope[0] == 0:
        raise Refusal(SkipReason.NO_RESCALE, "RescaleSlope (0028,1053) is 0")
    _refuse_other_unit(codes(item, "RescaleType"), rescale_types, "RescaleType (0028,1054)")
    return slope[0], intercept[0], None


def _refuse_other_unit(found: tuple[str, ...], accepted: Iterable[str], element: str, *, needed: bool = False) -> None:
    unit = "".join(found[:1])
    if (unit or needed) and unit not in accepted:
        raise Refusal(SkipReason.NOT_HOUNSFIELD, f"{element} is not {' or '.join(accepted)}")


def _groups(dataset: Dataset, frame: int) -> list[Dataset]:
    return functional_groups(dataset, frame) if "PerFrameFunctionalGroupsSequence" in dataset else [dataset]


def _line(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Slope and intercept in float32, which holds 16-bit values exactly; wider ones go through float64."""
    values: Any = stored.astype(np.float32 if stored.itemsize <= 2 else np.float64)
    values *= slope
    values += intercept
    return values.astype(np.float32, copy=False)


def _look_up(stored: np.ndarray, table: Dataset) -> np.ndarray:
    """Values of a modality lookup table (PS3.3 C.11.1.1.1): the first and last entry extend beyond its ends."""
    descriptor = numbers(table, "LUTDescriptor", count=3)
    if descriptor is None or "LUTData" not in table:
        raise Refusal(SkipReason.NO_RESCALE, "ModalityLUTSequence (0028,3000) has no LUTDescriptor or LUTData")
    length = int(descriptor[0]) or 2**16
    data = table["LUTData"].value
    entries = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    if len(entries) < length or entries.dtype.kind not in "iu":
        raise Refusal(SkipReason.DAMAGED, "LUTData (0028,3006) has fewer entries than LUTDescriptor (0028,3002)")
    return entries[np.clip(stored.astype(np.int64) - int(descriptor[1]), 0, length - 1)].astype(np.float32)


def _pad_with_air(
    values: np.ndarray, padding: tuple[int, int] | None, *, stored: np.ndarray, as_written: np.ndarray
) -> None:
    """Replace padding, in place: where foreign bits show it, and where its value is none that tissue has."""
    if padding is None:
        return
    low, high = padding
    is_padding = (stored >= low) & (stored <= high)
    if is_padding.any():
        is_padding &= (values < PADDING_BELOW_HU) | (values > PADDING_ABOVE_HU)
    if as_written is not stored:
        is_padding |= (as_written >= low) & (as_written <= high) & (as_written != stored)
    values[is_padding] = AIR_HU


def _padding_range(dataset: Dataset) -> tuple[int, int] | None:
    """Stored values that are padding: PixelPaddingValue up to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2)."""
    value, limit = (_padding_bound(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value is None:
        return None
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def _padding_bound(dataset: Dataset, keyword: str) -> int | None:
    """A padding value, read with the sign that the pixels have: some writers store -2000 as 63536."""
    found = numbers(dataset, keyword, count=1)
    if found is None:
        return None
    bits = 8 * max(2, (integer(dataset, "BitsAllocated") or 16) // 8)
    wrapped = int(found[0]) % (1 << bits)
    is_negative = integer(dataset, "PixelRepresentation") == 1 and wrapped >= 1 << (bits - 1)
    return wrapped - (1 << bits) if is_negative else wrapped


@contextmanager
def _explained(dicom_slice: DicomSlice) -> Iterator[None]:
    """Turn what is wrong with a file into a sentence that names it."""
    try:
        yield
    except (Refusal, OSError) as error:
        raise DicomSeriesError(
            f"Frame {dicom_slice.frame} of {{file}} cannot be read: {{reason}}. "
            "Export the series again, or move it out of the folder.",
            file=dicom_slice.name,
            reason=error,
        ) from None
