"""What a classifier says about slices, series and studies."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ext.data.dicom.series import DicomSeries, DicomSlice

__all__ = [
    "AnsweredSeries",
    "Answers",
    "FileUse",
    "SeriesAnswer",
    "SliceAnswer",
    "StudyAnswer",
    "Warned",
]

STUDY_RULE = "the series with the highest probability"


@dataclass(frozen=True)
class Warned:
    """Why an answer may mean nothing.

    Args:
        code: stable between versions.
        text: a sentence.
        false_alarms: share of held-out training images for which it is given all the same; None where not measured.
    """

    code: str
    text: str
    false_alarms: float | None = None


@dataclass(frozen=True)
class SliceAnswer:
    """One slice: its probabilities, and how far it lies from the training images, in parts of the threshold."""

    slice: DicomSlice = field(repr=False)
    probabilities: tuple[float, ...]
    feature_distance: float | None = None
    gray_distance: float | None = None


@dataclass(frozen=True)
class AnsweredSeries:
    """What answers of all kinds have: the series as it was found."""

    series: DicomSeries = field(repr=False)

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""
        return self.series.series_uid.decode("ascii", errors="replace")

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID (0020,000D); empty where the source does not say."""
        return self.series.study_uid.decode("ascii", errors="replace")


@dataclass(frozen=True)
class SeriesAnswer(AnsweredSeries):
    """What a classifier says of one series.

    Args:
        series: as it was found.
        slices: answers in order of position.
        probability: of the class that is looked for, or of the class that is called.
        low: of the 95 % interval over slices drawn again.
        high: likewise.
        call: the class that is called; None where no threshold was chosen on validation.
        warnings: why it may mean nothing.
        strongest: number of the slice with the highest probability.
    """

    slices: tuple[SliceAnswer, ...]
    probability: float
    low: float
    high: float
    call: str | None
    warnings: tuple[Warned, ...]
    strongest: int


@dataclass(frozen=True)
class StudyAnswer:
    """One study: the strongest of its series."""

    study_uid: str
    series: tuple[SeriesAnswer, ...]

    @property
    def strongest(self) -> SeriesAnswer:
        """The series that decides."""
        return max(self.series, key=lambda answer: answer.probability)


@dataclass(frozen=True)
class FileUse:
    """What became of a file: ``answered``, or the code of a reason with its sentence."""

    path: Path
    outcome: str
    reason: str = ""


@dataclass(frozen=True)
class Answers:
    """Everything that was said about a folder.

    Args:
        model: name, version, and SHA-256 of the weights.
        rules: how slices make a series, and what its call rests on, in words.
        studies: with their series.
        files: what became of every file.
    """

    model: dict[str, Any]
    rules: dict[str, Any]
    studies: tuple[StudyAnswer, ...]
    files: tuple[FileUse, ...]

    @property
    def series(self) -> list[SeriesAnswer]:
        """All series of all studies."""
        return [answer for study in self.studies for answer in study.series]
