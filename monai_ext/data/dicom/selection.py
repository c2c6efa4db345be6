"""Which DICOM objects are slices: chosen by Modality, SOP class and image type, never by counting files."""

from __future__ import annotations

from collections.abc import Collection

from monai_ext.data.dicom.elements import codes, identifier, integer, sequence
from monai_ext.data.dicom.header import Header
from monai_ext.data.dicom.refusals import Refusal, SkipReason

__all__ = ["refuse_unless_slices"]

LARGEST_SIDE = 8192
"""Rows or columns of the largest slice that is believed; scanners reconstruct up to 2,048, some detectors 4,096."""

_DICOMDIR = "1.2.840.10008.1.3.10"
_IMAGE_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "MR",
}
"""CT and MR image storage: classic, enhanced, and legacy converted enhanced (PS3.4 B.5)."""

_DOSE_REPORTS = tuple(f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (67, 73, 68, 76))
_SECONDARY_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
_LOCALIZERS = ("LOCALIZER", "SCOUT", "TOPOGRAM", "SCANOGRAM", "SURVIEW")
_CAPTURES = ("SCREEN SAVE", "SCREENSAVE", "SCREEN", "SCREENSHOT", "CAPTURE", "DOSE", "DOSE_INFO", "PROTOCOL", "REPORT")
_PROJECTIONS = (
    "PROJECTION IMAGE",
    "MAX_IP",
    "MIN_IP",
    "MIP",
    "MINIP",
    "MNIP",
    "VOLUME_RENDER",
    "VOLUME_RENDERING",
    "VRT",
    "VR",
    "SURFACE_RENDER",
    "SURFACE_RENDERING",
    "SSD",
)


def refuse_unless_slices(header: Header, *, modalities: Collection[str]) -> None:
    """Check that an object is a set of gray slices of a wanted modality and of believable size.

    Args:
        header: what the file says about itself.
        modalities: wanted values of Modality (0008,0060); only ``CT`` and ``MR`` are images of slices here.

    Raises:
        Refusal: it is something else; the reason says what.
    """
    sop_class = _sop_class(header)
    if sop_class == _DICOMDIR:
        raise Refusal(SkipReason.DICOMDIR)
    if sop_class in _DOSE_REPORTS:
        raise Refusal(SkipReason.DOSE_REPORT)
    if header.pixel_keyword is None:
        raise Refusal(SkipReason.NO_PIXELS)
    _refuse_pictures_of_screens(header, sop_class)
    modality = "".join(codes(header.dataset, "Modality")[:1])
    if modality not in modalities:
        raise Refusal(SkipReason.OTHER_MODALITY)
    if _IMAGE_CLASSES.get(sop_class) != modality:
        raise Refusal(SkipReason.OTHER_OBJECT, "SOPClassUID (0008,0016)")
    if not identifier(header.dataset, "SeriesInstanceUID") or not identifier(header.dataset, "SOPInstanceUID"):
        raise Refusal(SkipReason.NO_IDENTIFIERS, "SeriesInstanceUID (0020,000e) or SOPInstanceUID (0008,0018)")
    refuse_image_type(codes(header.dataset, "ImageType"))
    for group in sequence(header.dataset, "SharedFunctionalGroupsSequence")[:1]:
        for keyword in ("CTImageFrameTypeSequence", "MRImageFrameTypeSequence"):
            for item in sequence(group, keyword)[:1]:
                refuse_image_type(codes(item, "FrameType"))
    _refuse_colour(header)
    _refuse_size(header)


def refuse_image_type(values: Collection[str]) -> None:
    """Check the values of ImageType (0008,0008), or of FrameType (0008,9007) of a frame.

    Raises:
        Refusal: they name a localizer, a projection or a screen.
    """
    for values_of_kind, reason in (
        (_LOCALIZERS, SkipReason.LOCALIZER),
        (_PROJECTIONS, SkipReason.PROJECTION),
        (_CAPTURES, SkipReason.SECONDARY_CAPTURE),
    ):
        if any(value in values_of_kind for value in values):
            raise Refusal(reason, "ImageType (0008,0008)")


def _sop_class(header: Header) -> str:
    found = identifier(header.dataset, "SOPClassUID") or identifier(header.dataset.file_meta, "MediaStorageSOPClassUID")
    return found.decode("ascii", errors="replace")


def _refuse_pictures_of_screens(header: Header, sop_class: str) -> None:
    if sop_class == _SECONDARY_CAPTURES or sop_class.startswith(f"{_SECONDARY_CAPTURES}."):
        raise Refusal(SkipReason.SECONDARY_CAPTURE)
    if codes(header.dataset, "BurnedInAnnotation")[:1] == ("YES",):
        raise Refusal(SkipReason.BURNED_IN, "BurnedInAnnotation (0028,0301)")


def _refuse_colour(header: Header) -> None:
    photometric = codes(header.dataset, "PhotometricInterpretation")[:1]
    if (integer(header.dataset, "SamplesPerPixel") or 1) != 1 or photometric not in (
        ("MONOCHROME1",),
        ("MONOCHROME2",),
    ):
        raise Refusal(SkipReason.NOT_GRAYSCALE, "PhotometricInterpretation (0028,0004)")


def _refuse_size(header: Header) -> None:
    for keyword, tag in (("Rows", "0028,0010"), ("Columns", "0028,0011")):
        length = integer(header.dataset, keyword)
        if not length or length < 0:
            raise Refusal(SkipReason.PIXEL_FORMAT, f"{keyword} ({tag}) is missing or zero")
        if length > LARGEST_SIDE:
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"{keyword} ({tag}) is {length}, at most {LARGEST_SIDE}")
