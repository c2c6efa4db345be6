"""CT slices straight from a folder of DICOM files, in Hounsfield units."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.sources.slice_stack import SliceStack, slice_distance, stack_fault
from monai_ext.data.sources.source import (
    SliceSource,
    describe_sizes,
    fingerprint_contents,
    fingerprint_files,
    group_name,
)
from monai_ext.errors import DatasetError

if TYPE_CHECKING:
    from monai_ext.data.dicom.series import DicomSeries, SkippedFile

__all__ = ["DicomSource"]

logger = logging.getLogger(__name__)

_OTHER_MODALITIES = (
    " MR is used from a slice store, where its series are scaled: `python -m monai_ext ingest FOLDER STORE --kind mr`."
)
_MANY_FILES = 2000
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_AXIAL_TOLERANCE = 0.35
"""Of direction cosines: 20 degrees, as far as heads are turned in the scanner."""
_GROUPINGS = (("patient", "patient_id"), ("study", "study_uid"), ("series", "series_uid"))


class DicomSource(SliceSource):
    """Slices of all CT series below a folder; localizers, captures and reports are passed over.

    Slices are grouped by patient. Where all files bear the same patient id, as after some anonymisations, they are
    grouped by study, and where there is one study only, by series.

    Args:
        root: folder that names are relative to.
        files: the files to use, in any order; their headers are read, once each.

    Raises:
        DatasetError: there is no CT slice among them; the message says what they are instead.
    """

    kind = "DICOM"
    dtype = np.dtype(np.int16)

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        from monai_ext.data.dicom.intensity import SliceReader
        from monai_ext.data.dicom.series import read_series

        if len(files) >= _MANY_FILES:
            logger.info(
                "Looking through %d DICOM files, which takes a while each time; a slice store opens at once: make one"
                " with `python -m monai_ext ingest %s STORE`.",
                len(files),
                root,
            )
        index = read_series(files, root=root)
        pairs = [(series, image) for series in index.series for image in series.slices]
        self._slices = tuple(image for _, image in pairs)
        self._skipped = Counter(file.reason.value for file in index.skipped)
        _report_skipped(index.skipped, root, found=len(pairs))
        self._series = tuple(index.series)
        self.grouped_by, held_together = _group([series for series, _ in pairs])
        fingerprint = fingerprint_files(root, {image.path for image in self._slices})
        super().__init__(root, held_together=held_together, fingerprint=fingerprint)
        self._reader = SliceReader()

    def __getstate__(self) -> dict[str, Any]:
        from monai_ext.data.dicom.intensity import SliceReader

        return self.__dict__ | {"_reader": SliceReader()}

    def read(self, index: int) -> np.ndarray:
        """Decode one slice: float32 (rows, columns) in HU."""
        return self._reader.hounsfield(self._slices[index])

    def name(self, index: int) -> str:
        """The slice's file, relative to ``root``."""
        return self._slices[index].path.relative_to(self.root).as_posix()

    def stacks(self) -> list[SliceStack]:
        """One a series, from the feet upwards: axes superior, posterior, left."""
        ends = accumulate(len(series.slices) for series in self._series)
        return [self._stack(series, end) for series, end in zip(self._series, ends, strict=True)]

    def _stack(self, series: DicomSeries, end: int) -> SliceStack:
        first = series.slices[0]
        positions = [image.position_mm for image in series.slices]
        in_plane = first.row_spacing_mm, first.column_spacing_mm
        fault = stack_fault(positions, spacing_mm=in_plane, tilt_deg=series.gantry_tilt_deg)
        if not np.allclose(series.orientation, _AXIAL, atol=_AXIAL_TOLERANCE):
            fault = "its slices are not axial"
        return SliceStack(
            name=first.path.parent.relative_to(self.root).as_posix(),
            indices=range(end - len(positions), end),
            shape=(len(positions), series.rows, series.columns),
            spacing_mm=(slice_distance(positions), *(float(side or "nan") for side in in_plane)),  # type: ignore[arg-type]
            fingerprint=group_name(
                fingerprint_contents([series.slices[len(series.slices) // 2].path]),
                *(image.instance_uid.hex() for image in series.slices),
            ),
            fault=fault,
        )

    def describe(self) -> dict[str, Any]:
        """Series, files that were passed over by reason, and sizes."""
        return {
            "series": len(self._series),
            "series_with_irregular_spacing": sum(bool(series.findings) for series in self._series),
            "skipped_files": dict(self._skipped),
            **describe_sizes((image.rows, image.columns) for image in self._slices),
        }


def _report_skipped(skipped: Sequence[SkippedFile], root: Path, *, found: int) -> None:
    counts = Counter(file.reason.sentence for file in skipped)
    listed = "; ".join(f"{count} because {sentence}" for sentence, count in counts.most_common())
    has_others = any(file.reason is SkipReason.OTHER_MODALITY for file in skipped)
    if not found:
        raise DatasetError(
            f"There is no CT slice in {root}. Of its files were passed over: {listed or 'none'}. Give a folder with"
            f" a CT series.{_OTHER_MODALITIES if has_others else ''}"
        )
    if skipped:
        logger.info("%d files are passed over: %s.", len(skipped), listed)


def _group(series: Sequence[DicomSeries]) -> tuple[str, tuple[str, ...]]:
    """What slices are grouped by, and the name of every slice's group: the coarsest that tells any apart."""
    choices = [(name, [getattr(member, attribute) for member in series]) for name, attribute in _GROUPINGS]
    name, identities = next((choice for choice in choices if len(set(choice[1])) > 1 and all(choice[1])), choices[-1])
    return name, tuple(group_name(identity.hex()) for identity in identities)
