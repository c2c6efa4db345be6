"""CT slices straight from a folder of DICOM files, in Hounsfield units."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.sources.source import KeyedGroups, fingerprint_files, group_name
from monai_ext.errors import DatasetError

if TYPE_CHECKING:
    from monai_ext.data.dicom.series import DicomSeries, SkippedFile

__all__ = ["DicomSource"]

logger = logging.getLogger(__name__)

_MANY_FILES = 2000
_GROUPINGS = (("patient", "patient_id"), ("study", "study_uid"), ("series", "series_uid"))


class DicomSource(KeyedGroups):
    """Slices of all CT series below a folder; localizers, captures and reports are passed over.

    Slices are grouped by patient. Where all files bear the same patient id, as after some anonymisations, they are
    grouped by study, and where there is one study only, by series.

    Args:
        root: folder that names are relative to.
        files: the files to use; others below ``root`` are not looked at twice.

    Raises:
        DatasetError: there is no CT slice among them; the message says what they are instead.
    """

    kind = "DICOM"
    dtype: np.dtype[Any] = np.dtype(np.int16)

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        from monai_ext.data.dicom.intensity import SliceReader
        from monai_ext.data.dicom.series import find_series

        self.root = root
        if len(files) >= _MANY_FILES:
            logger.info(
                "Looking through %d DICOM files, which takes a while each time; a slice store opens at once: make one"
                " with `python -m monai_ext ingest %s STORE`.",
                len(files),
                root,
            )
        wanted = set(files)
        index = find_series(root)
        pairs = [(series, one) for series in index.series for one in series.slices if one.path in wanted]
        skipped = [file for file in index.skipped if file.path in wanted]
        self._slices = tuple(one for _, one in pairs)
        self._skipped = Counter(file.reason.value for file in skipped)
        self._report_skipped(skipped)
        self._series = len({id(series) for series, _ in pairs})
        self._irregular = sum(bool(series.findings) for series in index.series)
        self.grouped_by, self.held_together = _group([series for series, _ in pairs])
        self.fingerprint = fingerprint_files(root, {one.path for one in self._slices})
        self._reader = SliceReader()

    def __len__(self) -> int:
        return len(self._slices)

    def __getstate__(self) -> dict[str, Any]:
        from monai_ext.data.dicom.intensity import SliceReader

        return self.__dict__ | {"_reader": SliceReader()}

    def read(self, index: int) -> np.ndarray:
        """Decode one slice: float32 (rows, columns) in HU."""
        return self._reader.hounsfield(self._slices[index])

    def decoded_together(self, index: int) -> range:
        """Every slice is decoded for itself."""
        return range(index, index + 1)

    def describe(self) -> dict[str, Any]:
        """Series, files that were passed over by reason, and sizes."""
        sizes = sorted({(one.rows, one.columns) for one in self._slices}, key=min)
        return {
            "series": self._series,
            "series_with_irregular_spacing": self._irregular,
            "skipped_files": dict(self._skipped),
            "sizes": len(sizes),
            "smallest_rows_columns": list(sizes[0]),
            "largest_rows_columns": list(sizes[-1]),
        }

    def _report_skipped(self, skipped: Sequence[SkippedFile]) -> None:
        counts = Counter(file.reason.sentence for file in skipped)
        told = "; ".join(f"{count} because {sentence}" for sentence, count in counts.most_common())
        if not self._slices:
            raise DatasetError(
                f"There is no CT slice in {self.root}. Of its files were passed over: {told or 'none'}. Give a folder"
                " with a CT series."
            )
        if skipped:
            logger.info("%d files are passed over: %s.", len(skipped), told)


def _group(series: Sequence[DicomSeries]) -> tuple[str, tuple[str, ...]]:
    """What slices are grouped by, and the name of every slice's group: the coarsest that tells any apart."""
    choices = [(name, [getattr(one, attribute) for one in series]) for name, attribute in _GROUPINGS]
    name, identities = next((choice for choice in choices if len(set(choice[1])) > 1 and all(choice[1])), choices[-1])
    return name, tuple(group_name(identity.hex()) for identity in identities)
