"""Identities are planted wherever a file can hold text, and looked for in every byte that ingestion produces."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import ct_slice, ramp, write
from PIL import Image, PngImagePlugin
from pydicom import Dataset, Sequence, config
from pydicom.datadict import DicomDictionary

from monai_ext.cli import main
from monai_ext.data.dicom.ingest import ledger_folder
from monai_ext.data.slice_store import SliceStore

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


class Planter:
    """Gives out marks, each once, and remembers them."""

    def __init__(self) -> None:
        self.marks: list[str] = []

    def text(self) -> str:
        self.marks.append(f"{MARK}{len(self.marks)}X")
        return self.marks[-1]

    def date(self) -> str:
        self.marks.append(f"1938{len(self.marks) % 12 + 1:02d}{len(self.marks) % 28 + 1:02d}")
        return self.marks[-1]

    def uid(self) -> str:
        self.marks.append(f"1.2.840.4711.{len(self.marks)}.99887766")
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
    dataset.file_meta = ct_file_meta(planter)
    return dataset


def ct_file_meta(planter: Planter) -> Dataset:
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


@pytest.fixture
def quiet_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks do not fit their elements; pydicom need not say so while they are written."""
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)


def plant_dicom(planter: Planter, folder: Path) -> None:
    series = planter.uid()
    for number in range(2):
        path = write(planted_slice(planter, number, series=series), folder / planter.text() / f"{planter.text()}.dcm")
        content = path.read_bytes()
        path.write_bytes(planter.text().encode().ljust(128, b"\0") + content[128:])
    for keyword in ("RescaleSlope", "ImagePositionPatient", "BitsAllocated", "SliceThickness", "ImageType"):
        dataset = planted_slice(planter, 9.0, series=planter.uid(), every=20)
        if keyword == "BitsAllocated":
            dataset.add_new(0x00280100, "LO", planter.text())
        elif keyword == "ImageType":
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", planter.text()]
        else:
            dataset[keyword].VR = "LO"
            dataset[keyword].value = planter.text()
        write(dataset, folder / f"bad {planter.text()}")
    (folder / f"{planter.text()}.zip").write_bytes(b"PK\x03\x04" + planter.text().encode())
    (folder / f"{planter.text()}.txt").write_text(planter.text())


def plant_others(planter: Planter, folder: Path) -> None:
    image = nibabel.Nifti1Image(np.full((4, 4, 4), -500, np.int16), np.eye(4))
    image.header["descrip"] = planter.text().encode()
    image.header["aux_file"] = planter.text().encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", planter.text().encode()))
    nibabel.save(image, folder / f"{planter.text()}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), folder / f"{planter.text()}.nii")


def produced(store: Path) -> Iterator[bytes]:
    """Every byte below the store and its ledger, and the compressed tables in the clear."""
    for folder in (store, ledger_folder(store)):
        for path in folder.rglob("*"):
            yield str(path.relative_to(folder)).encode()
            if path.is_file():
                yield path.read_bytes()
    opened = SliceStore(store)
    yield opened.index.to_csv().encode()
    yield repr(opened.provenance).encode()
    yield repr(opened.columns().schema.metadata).encode()


def assert_nothing_leaked(planter: Planter, contents: list[bytes]) -> None:
    together = b"\n".join(contents)
    lower = together.lower()
    numbers = [mark for mark in planter.marks if not mark.startswith(MARK)]
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        assert MARK.lower().encode(encoding) not in lower
        assert not [mark for mark in numbers if mark.encode(encoding) in together]
    windows = {run[at : at + 16] for run in re.findall(rb"[0-9a-f]{16,}", lower) for at in range(len(run) - 15)}
    for digest in (hashlib.md5, hashlib.sha1, hashlib.sha256):
        assert not [mark for mark in planter.marks if digest(mark.encode()).hexdigest()[:16].encode() in windows]


@pytest.mark.usefixtures("quiet_values")
def test_no_identity_reaches_a_store_a_ledger_a_report_or_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    planter = Planter()
    plant_dicom(planter, tmp_path / "source")
    plant_others(planter, tmp_path / "source")
    assert len(planter.marks) > 3000
    with caplog.at_level(logging.DEBUG):
        status = main(["ingest", str(tmp_path / "source"), str(tmp_path / "store"), "--workers", "1", "--json"])
        main(["ingest", str(tmp_path / "source"), str(tmp_path / "store"), "--workers", "1"])
    told = capfd.readouterr()
    assert status == 0
    assert '"stored": 3' in told.out
    assert '"damaged": 4' in told.out
    contents = [told.out.encode(), told.err.encode(), caplog.text.encode(), *produced(tmp_path / "store")]
    assert_nothing_leaked(planter, contents)
    index = SliceStore(tmp_path / "store").index
    assert set(index["body_part"].dropna()) == set()
    assert all(code.startswith("other-") for code in index["kernel"].dropna())


def test_no_identity_of_pictures_reaches_a_store(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    planter = Planter()
    folder = tmp_path / "source" / planter.text()
    folder.mkdir(parents=True)
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", planter.text())
    Image.fromarray(ramp((8, 8), dtype=np.uint8)).save(folder / f"{planter.text()}.png", pnginfo=notes)
    (folder / f"{planter.text()}.png").write_bytes(planter.text().encode())
    main(["ingest", str(tmp_path / "source"), str(tmp_path / "store"), "--workers", "1"])
    told = capfd.readouterr()
    assert_nothing_leaked(planter, [told.out.encode(), told.err.encode(), *produced(tmp_path / "store")])


@pytest.mark.usefixtures("quiet_values")
def test_when_nothing_can_be_stored_no_identity_is_in_the_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    planter = Planter()
    dataset = planted_slice(planter, 0.0, series=planter.uid(), every=20)
    dataset["RescaleSlope"].VR = "LO"
    dataset["RescaleSlope"].value = planter.text()
    write(dataset, tmp_path / "source" / planter.text() / planter.text())
    assert main(["ingest", str(tmp_path / "source"), str(tmp_path / "store"), "--workers", "1"]) == 2
    told = capfd.readouterr()
    assert "damaged" in told.err
    assert_nothing_leaked(planter, [told.out.encode(), told.err.encode(), *produced(tmp_path / "store")])
