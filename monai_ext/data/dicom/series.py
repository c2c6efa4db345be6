"""Finds the series in a folder of DICOM files: grouped by what they say, ordered by where they lie."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from monai_ext.data.dicom.elements import codes, identifier, number
from monai_ext.data.dicom.frames import DicomSlice, frames_of
from monai_ext.data.dicom.geometry import (
    SeriesFinding,
    find_irregularities,
    normal_of,
    same_orientation,
    shear_degrees,
)
from monai_ext.data.dicom.header import Header, quiet_pydicom, read_header
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import refuse_unless_slices
from monai_ext.errors import DicomSeriesError

__all__ = [
    "DicomObject",
    "DicomSeries",
    "DicomSlice",
    "SeriesIndex",
    "SkippedFile",
    "find_oddities",
    "find_series",
    "group_objects",
    "read_series",
]

logger = logging.getLogger(__name__)

_SMALLEST_TILT_DEG = 0.5


@dataclass(frozen=True)
class SkippedFile:
    """A file that is not used, and why.

    Args:
        path: the file.
        reason: a code; ``reason.sentence`` says it in words.
        detail: what was found, with tag and keyword; never a value.
    """

    path: Path
    reason: SkipReason
    detail: str = ""


@dataclass(frozen=True)
class DicomObject:
    """A file with slices, and what it says about their series. Identities are bytes of the file and are not shown."""

    series_uid: bytes = field(repr=False)
    study_uid: bytes = field(repr=False)
    patient_id: bytes = field(repr=False)
    modality: str
    kernel: str
    body_part: str
    gantry_tilt_deg: float | None
    slices: tuple[DicomSlice, ...]


@dataclass(frozen=True)
class DicomSeries:
    """Slices of one series with one orientation and shape, in ascending position along their normal.

    Args:
        series_uid: SeriesInstanceUID (0020,000E) as bytes; like the next two an identity, so it is not shown.
        study_uid: StudyInstanceUID (0020,000D).
        patient_id: PatientID (0010,0020), where it is empty PatientName with PatientBirthDate; empty without these.
        modality: ``"CT"`` or ``"MR"``.
        orientation: direction cosines of rows and columns, six numbers.
        rows: height in pixels.
        columns: width in pixels.
        kernel: ConvolutionKernel (0018,1210), in capitals as all text here, as written by the scanner.
        body_part: BodyPartExamined (0018,0015), likewise.
        gantry_tilt_deg: GantryDetectorTilt (0018,1120); where it is missing, the angle by which the stack of slices is
            sheared, and None for an upright one.
        slices: the slices.
        findings: what is irregular about their spacing, and lossy compression.
    """

    series_uid: bytes = field(repr=False)
    study_uid: bytes = field(repr=False)
    patient_id: bytes = field(repr=False)
    modality: str
    orientation: tuple[float, ...]
    rows: int
    columns: int
    kernel: str = field(repr=False)
    body_part: str = field(repr=False)
    gantry_tilt_deg: float | None
    slices: tuple[DicomSlice, ...]
    findings: tuple[SeriesFinding, ...]


@dataclass(frozen=True)
class SeriesIndex:
    """Everything that was found below a folder: every file is in a series or skipped."""

    series: list[DicomSeries]
    skipped: list[SkippedFile]


def find_series(folder: str | Path, *, modalities: Collection[str] = ("CT",)) -> SeriesIndex:
    """Look through a folder and everything below it; pixels are not read.

    Series are told apart by SeriesInstanceUID, orientation and shape, slices are ordered by their position along the
    normal (InstanceNumber and names of files do not matter). Localizers, secondary captures, dose reports, objects
    without pixels and files that are no DICOM are skipped with a reason.

    Args:
        folder: the folder.
        modalities: which values of Modality (0008,0060) to take, ``"CT"`` and ``"MR"`` are possible.

    Raises:
        DicomSeriesError: the folder does not exist or cannot be listed.
    """
    root = Path(folder)
    return read_series(_list_files(root), root=root, modalities=modalities)


def read_series(files: Iterable[Path], *, root: Path, modalities: Collection[str] = ("CT",)) -> SeriesIndex:
    """The same for files that are listed already: the header of each is read once.

    Args:
        files: below the folder, in any order; those of a folder come before those of its folders, by name.
        root: the folder, which names are relative to.
        modalities: see :func:`find_series`.
    """
    objects, skipped = [], []
    with quiet_pydicom():
        for path in sorted(files, key=lambda path: _place(path.relative_to(root))):
            try:
                name = path.relative_to(root).as_posix()
                objects.append(describe_object(read_header(path), name=name, modalities=modalities))
            except Refusal as refusal:
                skipped.append(SkippedFile(path, refusal.reason, refusal.detail))
            except OSError as error:
                skipped.append(SkippedFile(path, SkipReason.UNREADABLE, error.strerror or type(error).__name__))
    series, duplicates = group_objects(objects)
    skipped += [SkippedFile(path, SkipReason.DUPLICATE) for path in duplicates]
    return SeriesIndex(series, sorted(skipped, key=lambda file: file.path))


def describe_object(header: Header, *, name: str, modalities: Collection[str]) -> DicomObject:
    """What a file says about its slices; its path is ``name`` relative to the folder that was searched.

    Raises:
        Refusal: it has no slices of the modalities; the reason says what it is.
    """
    refuse_unless_slices(header, modalities=modalities)
    slices = frames_of(header, name=name)
    return DicomObject(
        series_uid=identifier(header.dataset, "SeriesInstanceUID"),
        study_uid=identifier(header.dataset, "StudyInstanceUID"),
        patient_id=_patient(header),
        modality=codes(header.dataset, "Modality")[0],
        kernel="\\".join(codes(header.dataset, "ConvolutionKernel")),
        body_part="".join(codes(header.dataset, "BodyPartExamined")[:1]),
        gantry_tilt_deg=_tilt(header),
        slices=tuple(slices),
    )


def group_objects(objects: Sequence[DicomObject]) -> tuple[list[DicomSeries], list[Path]]:
    """Sort objects into series; returns these, and the files that repeat an object that is there already."""
    groups: list[tuple[DicomObject, list[DicomSlice]]] = []
    by_uid: dict[tuple[bytes, int, int], list[int]] = {}
    seen: set[bytes] = set()
    duplicates = []
    for item in objects:
        if item.slices[0].instance_uid in seen:
            duplicates.append(item.slices[0].path)
            continue
        seen.add(item.slices[0].instance_uid)
        for image in item.slices:
            candidates = by_uid.setdefault((item.series_uid, image.rows, image.columns), [])
            fitting = (n for n in candidates if same_orientation(groups[n][1][0].orientation, image.orientation))
            number_of_group = next(fitting, None)
            if number_of_group is None:
                number_of_group = len(groups)
                candidates.append(number_of_group)
                groups.append((item, []))
            groups[number_of_group][1].append(image)
    return [_order(item, slices) for item, slices in groups], duplicates


def _order(first: DicomObject, slices: list[DicomSlice]) -> DicomSeries:
    normal = normal_of(slices[0].orientation)
    placed = [replace(image, position_mm=float(normal @ image.origin_mm)) for image in slices]
    placed.sort(key=lambda image: (image.position_mm, image.name, image.frame))
    shear = shear_degrees(slices[0].orientation, [image.origin_mm for image in placed])
    tilt = first.gantry_tilt_deg
    if tilt is None and shear > _SMALLEST_TILT_DEG:
        tilt = shear
    return DicomSeries(
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        patient_id=first.patient_id,
        modality=first.modality,
        orientation=slices[0].orientation,
        rows=slices[0].rows,
        columns=slices[0].columns,
        kernel=first.kernel,
        body_part=first.body_part,
        gantry_tilt_deg=tilt,
        slices=tuple(placed),
        findings=find_oddities(placed),
    )


def find_oddities(slices: Sequence[DicomSlice]) -> tuple[SeriesFinding, ...]:
    """What is irregular about slices in order of position: their spacing, and lossy compression."""
    findings = find_irregularities([image.position_mm for image in slices])
    lossy = sum(image.is_lossy for image in slices)
    if not lossy:
        return findings
    return (*findings, SeriesFinding("lossy_compression", f"{lossy} slices were compressed with loss"))


def _patient(header: Header) -> bytes:
    """PatientID, or where it is empty the name with the date of birth; empty when there is neither."""
    patient_id = identifier(header.dataset, "PatientID")
    name = identifier(header.dataset, "PatientName")
    if patient_id or not name:
        return patient_id
    return b"\0".join([name, identifier(header.dataset, "PatientBirthDate")])


def _tilt(header: Header) -> float | None:
    try:
        return number(header.dataset, "GantryDetectorTilt")
    except Refusal:  # a note, not worth losing the slice
        return None


def _list_files(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        if Path(error.filename) == root:
            raise DicomSeriesError(f"The folder {root} cannot be listed: {error.strerror}. Name a folder.") from error
        logger.warning("A folder below %s cannot be listed: %s.", root, error.strerror)

    for directory, _, names in os.walk(root, onerror=refuse):
        yield from (Path(directory, name) for name in names)


def _place(name: Path) -> tuple[tuple[bool, str], ...]:
    """Sorts a folder's own files before those of its folders: of two copies of an object the first one is kept."""
    *folders, last = name.parts
    return (*((True, folder) for folder in folders), (False, last))
