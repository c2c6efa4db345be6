"""Plants marks wherever a DICOM file can hold text, and looks for them in bytes that must hold no identity."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import Dataset, Sequence, config
from pydicom.datadict import DicomDictionary

from helpers.dicom_files import ct_slice

TEXT_VRS = ("AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
KEPT = (
    "ImageType",
    "Modality",
    "PhotometricInterpretation",
    "SpecificCharacterSet",
    "RescaleType",
    "BurnedInAnnotation",
)
ALWAYS = ("PatientName", "PatientID", "ConvolutionKernel", "BodyPartExamined", "AccessionNumber")
MARK = "ZQPLANTED"
YEAR = "1938"
UID_ROOT = "1.2.840.4711."


class Planter:
    """Gives out marks, each once, and remembers them."""

    def __init__(self) -> None:
        self.marks: list[str] = []

    def text(self) -> str:
        self.marks.append(f"{MARK}{len(self.marks)}X")
        return self.marks[-1]

    def date(self) -> str:
        self.marks.append(f"{YEAR}{len(self.marks) % 12 + 1:02d}{len(self.marks) % 28 + 1:02d}")
        return self.marks[-1]

    def uid(self) -> str:
        self.marks.append(f"{UID_ROOT}{len(self.marks)}.99887766")
        return self.marks[-1]


def planted_slice(planter: Planter, position: float, *, series: str, every: int = 1) -> Dataset:
    """A slice with a mark in text elements that the dictionary has, all or some, in private ones, and in sequences."""
    dataset = ct_slice(position)
    for number, (tag, (vr, _, _, retired, keyword)) in enumerate(DicomDictionary.items()):
        if number % every and keyword not in ALWAYS:
            continue
        if tag >> 16 in (0x0000, 0x0002, 0x0004) or keyword in KEPT or retired or not keyword:
            continue
        if vr in TEXT_VRS:
            dataset.add_new(tag, vr, planter.text())
        elif vr == "DA":
            dataset.add_new(tag, vr, planter.date())
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, planter.uid())
    dataset.SOPInstanceUID = planter.uid()
    dataset.SeriesInstanceUID = series
    for element in range(3):
        block = dataset.private_block(0x0009 + 2 * element, planter.text(), create=True)
        for vr in ("LO", "UT", "PN"):
            block.add_new(element + TEXT_VRS.index(vr), vr, planter.text())
    dataset.RequestAttributesSequence = _nested(planter, depth=3)
    dataset.file_meta = _file_meta(planter)
    return dataset


def _file_meta(planter: Planter) -> Dataset:
    from pydicom import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.SourceApplicationEntityTitle = planter.text()
    meta.PrivateInformationCreatorUID = planter.uid()
    meta.PrivateInformation = planter.text().encode()
    return meta


def _nested(planter: Planter, *, depth: int) -> Sequence:
    item = Dataset()
    item.RequestedProcedureDescription = planter.text()
    item.PatientName = planter.text()
    if depth:
        item.ReferencedStudySequence = _nested(planter, depth=depth - 1)
    return Sequence([item])


@contextmanager
def unchecked_values() -> Iterator[None]:
    """Marks do not fit their elements; pydicom need not say so while they are written."""
    settings = config.settings
    before = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
    try:
        yield
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode = before


def assert_nothing_leaked(planter: Planter, contents: list[bytes]) -> None:
    """Fail where a mark, or the plain hash of one, is in the contents."""
    together = b"\n".join(contents)
    lower = together.lower()
    numbers = {mark for mark in planter.marks if not mark.startswith(MARK)}
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        assert MARK.lower().encode(encoding) not in lower
        assert UID_ROOT.encode(encoding) not in together
        year, day = YEAR.encode(encoding), len(f"{YEAR}0101".encode(encoding))
        days = {together[found.start() : found.start() + day] for found in re.finditer(re.escape(year), together)}
        assert not [mark for mark in numbers if mark.encode(encoding) in days]
    windows = {run[at : at + 16] for run in re.findall(rb"[0-9a-f]{16,}", lower) for at in range(len(run) - 15)}
    for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
        assert not [mark for mark in planter.marks if digest(mark.encode()).hexdigest()[:16].encode() in windows]
