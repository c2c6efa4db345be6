"""Public data sets made ready, from files of the published form."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.loopback import Resource, serve
from monai_ext.data.public.catalog import CATALOG, PublicDataset, find_dataset
from monai_ext.data.public.get import get_files
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.splits import read_splits
from monai_ext.errors import DatasetError


def picture(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sheet_of(rows: list[list[str]]) -> bytes:
    """An Excel file as ECMA-376 describes it, with shared and inline strings and a number."""
    shared = "".join(f"<si><t>{row[0]}</t></si>" for row in rows)
    cells = "".join(
        f'<row r="{n + 1}"><c r="A{n + 1}" t="s"><v>{n}</v></c>'
        f'<c r="C{n + 1}" t="inlineStr"><is><t>{row[1]}</t></is></c>'
        f'<c r="D{n + 1}"><v>{n}</v></c></row>'
        for n, row in enumerate(rows)
    )
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    return zip_of(
        {
            "xl/sharedStrings.xml": f"<sst {space}>{shared}</sst>".encode(),
            "xl/worksheets/sheet1.xml": f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>".encode(),
        }
    )


def covid_ct() -> dict[str, Resource]:
    """Six pictures of each class, two a section; one has an ending in the sheet of patients, the others have none."""
    resources = {}
    for label in ("COVID", "NonCOVID"):
        names = [f"{label}%{number}.png" for number in range(6)]
        members = {f"CT_{label}/{name}": picture(number) for number, name in enumerate(names)}
        resources[f"/CT_{label}.zip"] = Resource(zip_of(members | {"__MACOSX/._x.png": b""}))
        for part, chosen in (("train", names[:2]), ("val", names[2:4]), ("test", [*names[4:], names[4]])):
            resources[f"/{part}CT_{label}.txt"] = Resource("\r\n".join([*chosen, ""]).encode())
    rows = [[f"COVID%{n}" + ".png" * (n == 0), f"Patient {n // 2}"] for n in range(6)]
    resources["/COVID-CT-MetaInfo.xlsx"] = Resource(sheet_of([["File name", "Patient ID"], *rows]))
    table = ["," + "image name,patient id", *(f"{n},NonCOVID%{n}.png,crawled_{n // 2}" for n in range(6))]
    resources["/NonCOVID-CT-MetaInfo.csv"] = Resource("\n".join(table).encode())
    return resources


def head_ct() -> dict[str, Resource]:
    members = {f"head_ct/head_ct/{n:03d}.png": picture(n) for n in range(4)}
    labels = "id, hemorrhage\n" + "".join(f"{n},{int(n < 2)}\n" for n in range(4))
    return {"/head-ct-hemorrhage.zip": Resource(zip_of(members | {"labels.csv": labels.encode()}))}


def organsmnist() -> dict[str, Resource]:
    buffer = io.BytesIO()
    parts = {"train": 4, "val": 2, "test": 2}
    images = {f"{part}_images": np.zeros((n, 28, 28), np.uint8) for part, n in parts.items()}
    labels = {f"{part}_labels": np.arange(n)[:, None] % 2 for part, n in parts.items()}
    np.savez(buffer, **images, **labels)
    return {"/organsmnist.npz": Resource(buffer.getvalue())}


RESOURCES = covid_ct() | head_ct() | organsmnist()


@pytest.fixture
def resources() -> dict[str, Resource]:
    return {path: replace(resource, requested=[]) for path, resource in RESOURCES.items()}


@pytest.fixture
def base_url(resources: dict[str, Resource]) -> Iterator[str]:
    with serve(resources) as address:
        yield address("")


def at_loopback(name: str, base_url: str) -> PublicDataset:
    """The catalogue's entry with addresses on loopback, and the checksum of the generated MedMNIST file."""
    dataset = find_dataset(name)
    files = []
    for file in dataset.files:
        path = f"/{Path(file.name).name}"
        md5 = hashlib.md5(RESOURCES[path].content, usedforsecurity=False).hexdigest() if file.md5 else ""
        files.append(replace(file, url=f"{base_url}{path}", md5=md5))
    return replace(dataset, files=tuple(files))


def test_covid_ct_gets_a_labels_table_with_patients_and_the_published_split(base_url: str, tmp_path: Path) -> None:
    table, splits_file = get_files(at_loopback("covid_ct", base_url), tmp_path, pause_s=0.001)
    source = open_split_source(table)
    assert len(source.ids) == 12
    assert source.groups[source.ids.index("images/COVID/CT_COVID/COVID%5.png")] == "Patient 2"
    assert source.groups[source.ids.index("images/NonCOVID/CT_NonCOVID/NonCOVID%0.png")] == "crawled_0"
    splits = read_splits(splits_file, source)
    assert splits.counts[0]["test"] == {"COVID": 2, "NonCOVID": 2}
    assert splits.made["official"] is True


def test_getting_again_downloads_nothing(resources: dict[str, Resource], base_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        get_files(at_loopback("covid_ct", base_url), tmp_path, pause_s=0.001)
    assert {len(resource.requested) for path, resource in resources.items() if "CT_" in path} == {1}


def test_a_file_that_changed_since_its_checksum_was_recorded_is_refused(
    resources: dict[str, Resource], base_url: str, tmp_path: Path
) -> None:
    get_files(at_loopback("head_ct", base_url), tmp_path, pause_s=0.001)
    (tmp_path / "downloads" / "head-ct-hemorrhage.zip").unlink()
    resources["/head-ct-hemorrhage.zip"].content += b"x"
    with pytest.raises(DatasetError, match="its SHA256 is"):
        get_files(at_loopback("head_ct", base_url), tmp_path, pause_s=0.001)


def test_head_ct_gets_a_labels_table_without_patients(base_url: str, tmp_path: Path) -> None:
    (table,) = get_files(at_loopback("head_ct", base_url), tmp_path, pause_s=0.001)
    source = open_split_source(table, group_column=None)
    assert source.labels == ("1", "1", "0", "0")
    assert source.ids[0] == "images/head_ct/head_ct/000.png"


def test_medmnist_is_checked_and_gets_its_official_split(base_url: str, tmp_path: Path) -> None:
    file, splits_file = get_files(at_loopback("organsmnist", base_url), tmp_path, pause_s=0.001)
    assert read_splits(splits_file, open_split_source(file)).counts[0]["training"] == {"0": 2, "1": 2}


def test_medmnist_with_a_wrong_checksum_is_refused(base_url: str, tmp_path: Path) -> None:
    dataset = at_loopback("organsmnist", base_url)
    published = find_dataset("organsmnist").files[0].md5
    dataset = replace(dataset, files=(replace(dataset.files[0], md5=published),))
    with pytest.raises(DatasetError, match=f"instead of {published}"):
        get_files(dataset, tmp_path, pause_s=0.001)
    assert not list(tmp_path.glob("*.npz*"))


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/NonCOVID-CT-MetaInfo.csv", b",image name,patient id\n", "6 have no patient id"),
        ("/NonCOVID-CT-MetaInfo.csv", b"a,b\n1,2\n", "no columns for picture and patient"),
        ("/COVID-CT-MetaInfo.xlsx", b"<html>", "cannot be read as an Excel file"),
        ("/testCT_COVID.txt", b"other.png", "1 pictures of the published split are missing"),
        ("/CT_COVID.zip", b"<html>", "CT_COVID.zip cannot be unpacked"),
    ],
)
def test_a_repository_that_has_changed_is_refused(
    resources: dict[str, Resource], base_url: str, tmp_path: Path, path: str, content: bytes, message: str
) -> None:
    resources[path].content = content
    with pytest.raises(DatasetError, match=message):
        get_files(at_loopback("covid_ct", base_url), tmp_path, pause_s=0.001)
    assert not (tmp_path / "labels.csv").exists()


def test_head_ct_without_labels_is_refused(resources: dict[str, Resource], base_url: str, tmp_path: Path) -> None:
    resources["/head-ct-hemorrhage.zip"].content = zip_of({"head_ct/000.png": picture(0)})
    with pytest.raises(DatasetError, match=r"no labels.csv"):
        get_files(at_loopback("head_ct", base_url), tmp_path, pause_s=0.001)


def test_a_damaged_record_of_checksums_is_refused(base_url: str, tmp_path: Path) -> None:
    (tmp_path / "checksums.json").write_text("[")
    with pytest.raises(DatasetError, match="delete it to record the checksums anew"):
        get_files(at_loopback("head_ct", base_url), tmp_path)


@pytest.mark.parametrize("dataset", CATALOG.values(), ids=lambda dataset: dataset.name)
def test_every_data_set_tells_its_licence_source_and_citation(dataset: PublicDataset) -> None:
    text = dataset.licence_text()
    assert dataset.licence in text
    assert "https://" in dataset.terms
    assert dataset.citation
    assert bool(dataset.files) != bool(dataset.collection)
    assert all(file.url.startswith("https://") for file in dataset.files)
    assert ("MD5 checksums are published" in text) == (dataset.kind == "medmnist")


def test_an_unknown_data_set_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DatasetError, match=r"no public data set 'organmnist'.* Did you mean 'organ[acs]mnist'"):
        find_dataset("organmnist")
