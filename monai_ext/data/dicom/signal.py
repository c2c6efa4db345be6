"""From stored values of MR to signal that is comparable within a series: what each slice says about its own scale."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monai_ext.data.dicom.elements import codes, numbers
from monai_ext.data.dicom.frames import macro
from monai_ext.data.dicom.header import PHILIPS_TAGS
from monai_ext.data.dicom.refusals import Refusal, SkipReason

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PHILIPS", "RESCALED", "STORED", "SignalScale", "common_origin", "signal_scale"]

_PHILIPS = "PHILIPS MR IMAGING DD 001"
_ORDER = STORED, RESCALED, PHILIPS = "stored", "rescaled", "philips"


@dataclass(frozen=True)
class SignalScale:
    """How stored values of a frame become signal.

    Args:
        origin: ``"philips"`` (rescale and Philips' private Scale Slope), ``"rescaled"`` (slope and intercept, or a
            modality lookup table) or ``"stored"`` (the frame says nothing).
        slope: of the rescale, 1 where there is none.
        intercept: 0 where there is none.
        philips_slope: Scale Slope (2005,100E).
        table: item of a modality lookup table.
        is_turned: MONOCHROME1: low values are shown bright.
    """

    origin: str
    slope: float = 1.0
    intercept: float = 0.0
    philips_slope: float | None = None
    table: Dataset | None = None
    is_turned: bool = False

    def says(self, origin: str) -> bool:
        """Whether its values can be brought to signal of ``origin``."""
        return _ORDER.index(self.origin) >= _ORDER.index(origin)

    def line(self, origin: str) -> tuple[float, float]:
        """Slope and intercept from stored values to signal of ``origin``.

        Philips scales each image for display: its own values are (slope x stored + intercept) / (slope x Scale Slope)
        (Chenevert et al. 2014, Translational Oncology 7:65).
        """
        if origin == PHILIPS and self.philips_slope is not None:
            return 1 / self.philips_slope, self.intercept / (self.slope * self.philips_slope)
        return (1.0, 0.0) if origin == STORED else (self.slope, self.intercept)


def signal_scale(groups: list[Dataset], dataset: Dataset) -> SignalScale:
    """What a frame of MR says about its values.

    The unit does not matter (Rescale Type is US or missing), since a series is scaled by its own percentiles; that all
    its slices are on one scale does.

    Args:
        groups: the dataset of a classic object, or the functional groups that apply to a frame, nearest first.
        dataset: of the file.

    Raises:
        Refusal: the slope is 0.
    """
    is_turned = codes(dataset, "PhotometricInterpretation")[:1] == ("MONOCHROME1",)
    table = macro(groups, "ModalityLUTSequence")
    if table is not None:
        return SignalScale(RESCALED, table=table, is_turned=is_turned)
    item = macro(groups, "PixelValueTransformationSequence") or groups[0]
    slope, intercept = (numbers(item, keyword, count=1) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None:
        return SignalScale(STORED, is_turned=is_turned)
    if slope[0] == 0:
        raise Refusal(SkipReason.NO_RESCALE, "RescaleSlope (0028,1053) is 0")
    philips = _philips_slope(dataset)
    return SignalScale(
        RESCALED if philips is None else PHILIPS,
        slope=slope[0],
        intercept=0.0 if intercept is None else intercept[0],
        philips_slope=philips,
        is_turned=is_turned,
    )


def common_origin(origins: Collection[str]) -> str:
    """The origin by which most is known that all slices of a series have; slices that say nothing, among others that
    do, are not on the series' scale and do not count.

    >>> common_origin({"philips"}), common_origin({"philips", "rescaled", "stored"}), common_origin({"stored"})
    ('philips', 'rescaled', 'stored')
    """
    known = set(origins) - {STORED}
    if not known:
        return STORED
    return PHILIPS if known == {PHILIPS} else RESCALED


def _philips_slope(dataset: Dataset) -> float | None:
    creator, element = (_raw(dataset, tag) for tag in PHILIPS_TAGS)
    name = creator.decode("ascii", errors="replace") if isinstance(creator, bytes) else str(creator or "")
    if name.strip(" \0").upper() != _PHILIPS:
        return None
    try:  # where the encoding does not say what private elements are, it is the four bytes of a float
        slope = struct.unpack("<f", element)[0] if isinstance(element, bytes) else float(str(element))
    except (ValueError, struct.error):
        return None
    return slope if slope > 0 and slope < float("inf") else None


def _raw(dataset: Dataset, tag: int) -> object:
    try:
        element = dataset.get(tag)
    except Exception:  # damaged elements surface as errors of many types
        return None
    return getattr(element, "value", None)
