"""The DICOM objects of all answers: for each series whose source allows it a report, a page, and what is marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from monai_ext.data.dicom.header import quiet_pydicom
from monai_ext.data.dicom.series import DicomSlice
from monai_ext.errors import DatasetError
from monai_ext.sharing.infer.answering import Network
from monai_ext.sharing.infer.answers import Answers, SeriesAnswer
from monai_ext.sharing.infer.dicom_file import as_bytes
from monai_ext.sharing.infer.page import draw_page, page_object
from monai_ext.sharing.infer.segmentation_object import (
    draw_segmented_page,
    segmentation_object,
    volume_report,
)
from monai_ext.sharing.infer.segmenting import SegmentedAnswers, SegmentedSeries
from monai_ext.sharing.infer.structured_report import structured_report
from monai_ext.sharing.trained_segmenter import TrainedSegmenter

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["dicom_objects", "segmented_objects"]

OBJECTS_OF_A_SERIES = 3
FIRST_SERIES_NUMBER = 9000
"""Beyond what scanners count to, so that an answer does not stand among the acquired series."""

EMPTY_WHERE_MISSING = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
"""Elements that derived objects must have but may be empty (type 2), which some sources lack."""


def dicom_objects(answers: Answers, network: Network) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Reports and pages, as names and contents, and for which series there are none and why.

    Raises:
        DatasetError: the package highdicom is missing.
    """

    def of_series(answer: SeriesAnswer, number: int) -> list[tuple[str, bytes]]:
        sources = _sources([part.slice for part in answer.slices], first=answer.strongest)
        report = structured_report(answer, network.model, sources, series_number=number)
        page = page_object(draw_page(answer, network), network.model.name, sources[0], series_number=number + 1)
        return [("report", report), ("page", page)]

    return _of_each(answers.series, of_series)


def segmented_objects(answers: SegmentedAnswers, model: TrainedSegmenter) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Segmentations, reports and pages, as names and contents, and for which series there are none and why.

    Raises:
        DatasetError: the package highdicom is missing.
    """

    def of_series(answer: SegmentedSeries, number: int) -> list[tuple[str, bytes]]:
        sources = _sources(answer.slices)
        marked = segmentation_object(answer, model, sources, series_number=number)
        report = volume_report(answer, model, sources, marked, series_number=number + 1)
        drawn = draw_segmented_page(answer, model)
        page = page_object(drawn, model.name, sources[0], series_number=number + 2)
        return [("segmentation", as_bytes(marked)), ("report", report), ("page", page)]

    return _of_each(answers.series, of_series)


def _of_each(
    answered: Sequence[Any], of_series: Callable[[Any, int], list[tuple[str, bytes]]]
) -> tuple[list[tuple[str, bytes]], list[str]]:
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise DatasetError("DICOM output needs highdicom: pip install 'monai-ext[sharing]', or --no-dicom.") from error
    objects, notes = [], []
    for number, answer in enumerate(answered):
        if not answer.study_uid:
            notes.append(f"series {answer.series_uid}: no DICOM objects, since StudyInstanceUID (0020,000D) is missing")
            continue
        try:
            with quiet_pydicom():
                made = of_series(answer, FIRST_SERIES_NUMBER + OBJECTS_OF_A_SERIES * number)
        except (DatasetError, ValueError, TypeError, AttributeError, KeyError) as error:  # highdicom's, of odd sources
            notes.append(f"series {answer.series_uid}: no DICOM objects, since its files do not allow them ({error})")
            continue
        objects += [(f"dicom/series_{number + 1:03d}_{kind}.dcm", content) for kind, content in made]
    return objects, notes


def _sources(slices: Sequence[DicomSlice], *, first: int = 0) -> Sequence[Dataset]:
    """Elements of the files of a series, without pixels, each once, that of the slice ``first`` before the others."""
    from pydicom import dcmread

    paths = [slices[first].path] + [dicom_slice.path for dicom_slice in slices]
    read = [dcmread(path, stop_before_pixels=True, force=True) for path in dict.fromkeys(paths)]
    for source in read:
        for keyword in EMPTY_WHERE_MISSING:
            if keyword not in source:
                setattr(source, keyword, "")
    return read
