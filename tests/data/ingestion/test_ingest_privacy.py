"""Identities are planted wherever a file can hold text, and looked for in every byte that ingestion produces."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from helpers.dicom_files import ramp, write
from helpers.planted_identities import Planter, assert_nothing_leaked, planted_slice, unchecked_values
from helpers.volume_files import change_header, ct_values, write_itk
from monai_ext.cli import main
from monai_ext.data.ingestion.ingest import ledger_folder
from monai_ext.data.store.reader import SliceStore


@pytest.fixture
def quiet_values() -> Iterator[None]:
    with unchecked_values():
        yield


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
    for cut_bytes in (0, 9):
        for suffix, place, note in (
            (".mha", "NDims", "Comment = {}\n"),
            (".nrrd", "encoding:", "# {}\nPatientName:={}\n"),
        ):
            path = write_itk(folder / f"{planter.text()}{suffix}", ct_values())
            change_header(path, place, note.replace("{}", planter.text()) + place)
            path.write_bytes(path.read_bytes()[: path.stat().st_size - cut_bytes])
    detached = write_itk(folder / "detached" / "a.mhd", ct_values())
    change_header(detached, "a.raw", f"{planter.text()}.raw")


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
    printed = capfd.readouterr()
    assert status == 0
    assert '"stored": 5' in printed.out
    assert '"damaged": 4' in printed.out
    contents = [printed.out.encode(), printed.err.encode(), caplog.text.encode(), *produced(tmp_path / "store")]
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
    printed = capfd.readouterr()
    assert_nothing_leaked(planter, [printed.out.encode(), printed.err.encode(), *produced(tmp_path / "store")])


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
    printed = capfd.readouterr()
    assert "damaged" in printed.err
    assert_nothing_leaked(planter, [printed.out.encode(), printed.err.encode(), *produced(tmp_path / "store")])
