"""The slices of one DICOM object: one of a classic image, many of an enhanced multi-frame image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.data.dicom.elements import codes, identifier, integer, number, numbers, sequence
from monai_ext.data.dicom.geometry import is_orientation
from monai_ext.data.dicom.header import Header
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import refuse_image_type

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["DicomSlice", "frames_of", "functional_groups", "macro"]

_LOSSY = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 203))
"""JPEG baseline and extended, near-lossless JPEG-LS, JPEG 2000 and HTJ2K where they are not the lossless kind."""


@dataclass(frozen=True, slots=True)
class DicomSlice:
    """One slice: a file, or a frame of a multi-frame file, and where it lies.

    Args:
        path: the file.
        name: its path relative to the folder that was searched, for messages.
        frame: number of the frame in the file, from 0.
        instance_uid: SOPInstanceUID (0008,0018) as bytes; identifies the patient's data, so it is not shown.
        orientation: direction cosines of rows and columns, six numbers.
        origin_mm: ImagePositionPatient (0020,0032): middle of the first pixel in patient coordinates.
        rows: height in pixels.
        columns: width in pixels.
        position_mm: position along the normal; 0 until the slice is put into a series.
        row_spacing_mm: distance of rows, None where the file does not say.
        column_spacing_mm: distance of columns, likewise.
        slice_thickness_mm: SliceThickness (0018,0050), likewise.
        is_lossy: whether its values were changed by lossy compression, now or earlier.
    """

    path: Path
    name: str
    frame: int
    instance_uid: bytes = field(repr=False)
    orientation: tuple[float, ...]
    origin_mm: tuple[float, ...]
    rows: int
    columns: int
    position_mm: float = 0.0
    row_spacing_mm: float | None = None
    column_spacing_mm: float | None = None
    slice_thickness_mm: float | None = None
    is_lossy: bool = False


def frames_of(header: Header, *, name: str) -> list[DicomSlice]:
    """List the slices of an object that passed :func:`~monai_ext.data.dicom.selection.refuse_unless_slices`.

    Raises:
        Refusal: a slice does not say where it lies, or a frame is a localizer or projection.
    """
    count = integer(header.dataset, "NumberOfFrames") or 1
    if count < 1 or count > 2**20:
        raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"NumberOfFrames (0028,0008) is {count}")
    is_multi_frame = "PerFrameFunctionalGroupsSequence" in header.dataset
    if count > 1 and not is_multi_frame:
        raise Refusal(SkipReason.NO_GEOMETRY, "PerFrameFunctionalGroupsSequence (5200,9230) is missing")
    instance_uid = identifier(header.dataset, "SOPInstanceUID")
    is_lossy = header.transfer_syntax in _LOSSY or codes(header.dataset, "LossyImageCompression")[:1] == ("01",)
    slices = []
    for frame in range(count):
        groups = functional_groups(header.dataset, frame) if is_multi_frame else [header.dataset]
        for item in _items(groups, "CTImageFrameTypeSequence", "MRImageFrameTypeSequence"):
            refuse_image_type(codes(item, "FrameType"))
        placed = _slice(header.dataset, groups, path=header.path, name=name, frame=frame, instance_uid=instance_uid)
        slices.append(replace(placed, is_lossy=is_lossy))
    return slices


def functional_groups(dataset: Dataset, frame: int) -> list[Dataset]:
    """What applies to a frame of an enhanced object: its own functional groups, then the shared ones.

    Raises:
        Refusal: the frame has no groups.
    """
    own = sequence(dataset, "PerFrameFunctionalGroupsSequence")
    if frame >= len(own):
        raise Refusal(SkipReason.DAMAGED, "PerFrameFunctionalGroupsSequence (5200,9230) has fewer items than frames")
    return [own[frame], *sequence(dataset, "SharedFunctionalGroupsSequence")[:1]]


def macro(groups: list[Dataset], keyword: str) -> Dataset | None:
    """The item of a functional group that applies; a classic object, which has no groups, is its own item."""
    return next(_items(groups, keyword), None)


def _items(groups: list[Dataset], *keywords: str) -> Iterator[Dataset]:
    for group in groups:
        for keyword in keywords:
            yield from sequence(group, keyword)[:1]


def _slice(
    dataset: Dataset, groups: list[Dataset], *, path: Path, name: str, frame: int, instance_uid: bytes
) -> DicomSlice:
    position, plane, measures = (
        macro(groups, keyword) or dataset
        for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    )
    origin = numbers(position, "ImagePositionPatient", count=3)
    orientation = numbers(plane, "ImageOrientationPatient", count=6)
    if origin is None or orientation is None or not is_orientation(orientation):
        element = "ImagePositionPatient (0020,0032)" if origin is None else "ImageOrientationPatient (0020,0037)"
        raise Refusal(SkipReason.NO_GEOMETRY, element)
    spacing = numbers(measures, "PixelSpacing", count=2)
    return DicomSlice(
        path=path,
        name=name,
        frame=frame,
        instance_uid=instance_uid,
        orientation=orientation,
        origin_mm=origin,
        rows=integer(dataset, "Rows") or 0,
        columns=integer(dataset, "Columns") or 0,
        row_spacing_mm=spacing[0] if spacing else None,
        column_spacing_mm=spacing[1] if spacing else None,
        slice_thickness_mm=number(measures, "SliceThickness"),
    )
