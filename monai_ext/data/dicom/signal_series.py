"""The scale of an MR series: its slices are gone through once for their percentiles, and read again to be scaled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from monai_ext.data.dicom.frames import DicomSlice
from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.signal import RESCALED, common_origin
from monai_ext.data.percentiles import PercentileScale, RunningPercentiles

__all__ = ["SeriesSignal"]


@dataclass
class SeriesSignal:
    """Reads the slices of one MR series on one scale.

    First each slice is asked what it says of its values (:meth:`look_at`), then each is counted (:meth:`count`), and
    then all can be read (:meth:`read`). No more than one slice is held at a time.

    Args:
        reader: reads slices.
        scale: where it is known already, as for slices that came later than others of their series.
    """

    reader: SliceReader
    scale: PercentileScale | None = None

    def __post_init__(self) -> None:
        self._origins: set[str] = set()
        self._turned = False
        self._percentiles = RunningPercentiles()

    @property
    def origin(self) -> str:
        """What its signal is taken from, see :func:`~monai_ext.data.dicom.signal.common_origin`."""
        return common_origin(self._origins) if self.scale is None else self.scale.origin

    def look_at(self, dicom_slice: DicomSlice) -> None:
        """Note what a slice says of its values.

        Raises:
            Refusal, OSError: it cannot be read, or contradicts itself.
        """
        scale = self.reader.signal_scale(dicom_slice)
        self._origins.add(scale.origin)
        self._turned = self._turned or scale.is_turned

    def count(self, dicom_slice: DicomSlice) -> None:
        """Add the values of a slice to the percentiles.

        Raises:
            Refusal, OSError: it cannot be decoded, or is on another scale than the rest of its series.
        """
        self._percentiles.add(self._signal(dicom_slice))

    def settle(self) -> None:
        """Choose the scale by what was counted, unless it was known.

        Raises:
            Refusal: the series has no contrast.
        """
        self.scale = self.scale or self._percentiles.scale(origin=self.origin)
        if self.scale is None:
            raise Refusal(SkipReason.NO_CONTRAST)

    def read(self, dicom_slice: DicomSlice) -> np.ndarray:
        """One slice on the scale, float32 (rows, columns).

        Raises:
            Refusal, OSError: as :meth:`count`.
        """
        if self.scale is None:
            self.settle()
        return self.scale(self._signal(dicom_slice))  # type: ignore[misc]

    def provenance(self) -> dict[str, object]:
        """What is noted with the series."""
        if self.scale is None:
            self.settle()
        return self.scale.provenance() | {"turned_monochrome1": self._turned}  # type: ignore[union-attr]

    def measure(self, slices: Iterable[DicomSlice]) -> SeriesSignal:
        """Look at slices and count them, in this process; those that cannot be decoded are left out.

        Raises:
            Refusal: the series has no contrast.
        """
        kept = list(slices)
        for step in (self.look_at, self.count):
            good = []
            for dicom_slice in kept:
                try:
                    step(dicom_slice)
                except (Refusal, OSError):
                    continue
                good.append(dicom_slice)
            kept = good
        self.settle()
        return self

    def _signal(self, dicom_slice: DicomSlice) -> np.ndarray:
        scale = self.reader.signal_scale(dicom_slice)
        if not scale.says(self.origin):
            element = "RescaleSlope (0028,1053)" if self.origin == RESCALED else "Scale Slope (2005,100e)"
            raise Refusal(SkipReason.NO_RESCALE, f"{element} is missing, and other slices have it")
        return self.reader.decode_signal(dicom_slice, scale, origin=self.origin)
