"""The DICOM objects of all answers: a report and a page for each series whose source allows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monai_ext.data.dicom.header import quiet_pydicom
from monai_ext.errors import DatasetError
from monai_ext.sharing.infer.answering import Network
from monai_ext.sharing.infer.answers import Answers, SeriesAnswer
from monai_ext.sharing.infer.page import page_object
from monai_ext.sharing.infer.structured_report import structured_report

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["dicom_objects"]

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
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise DatasetError("DICOM output needs highdicom: pip install 'monai-ext[sharing]', or --no-dicom.") from error
    objects, notes = [], []
    for number, answer in enumerate(answers.series):
        if not answer.study_uid:
            notes.append(f"series {answer.series_uid}: no DICOM objects, since StudyInstanceUID (0020,000D) is missing")
            continue
        with quiet_pydicom():
            sources = _sources(answer)
            series_number = FIRST_SERIES_NUMBER + 2 * number
            report = structured_report(answer, network.model, sources, series_number=series_number)
            page = page_object(answer, network, sources[0], series_number=series_number + 1)
        objects += [
            (f"dicom/series_{number + 1:03d}_report.dcm", report),
            (f"dicom/series_{number + 1:03d}_page.dcm", page),
        ]
    return objects, notes


def _sources(answer: SeriesAnswer) -> Sequence[Dataset]:
    """Elements of the files of a series, without pixels, the one of the strongest slice first."""
    from pydicom import dcmread

    strongest = answer.slices[answer.strongest].slice.path
    paths = [strongest] + [one.slice.path for one in answer.slices if one.slice.path != strongest]
    read = [dcmread(path, stop_before_pixels=True, force=True) for path in dict.fromkeys(paths)]
    for source in read:
        for keyword in EMPTY_WHERE_MISSING:
            if keyword not in source:
                setattr(source, keyword, "")
    return read
