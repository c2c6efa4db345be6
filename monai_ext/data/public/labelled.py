"""Makes downloaded data ready: a labels table with the published split beside the pictures, and ``splits.json``."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterable
from pathlib import Path

from monai_ext.data.public.archives import unpack
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import official_splits
from monai_ext.errors import DatasetError
from monai_ext.foreign_text import csv_text

__all__ = ["prepare_covid_ct", "prepare_head_ct", "prepare_medmnist"]

_PICTURES = (".png", ".jpg", ".jpeg")
_SPREADSHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def prepare_covid_ct(downloads: Path, folder: Path) -> list[Path]:
    """COVID-CT: ``images/``, ``labels.csv`` (file, label, patient_id, split), and ``splits.json``, the official split.

    Raises:
        DatasetError: an archive is damaged, or a listed picture or a patient's id is missing.
    """
    sections: dict[str, tuple[str, str]] = {}
    for label in ("COVID", "NonCOVID"):
        for part in ("train", "val", "test"):
            for line in (downloads / "Data-split" / f"{part}CT_{label}.txt").read_text().splitlines():
                if line.strip():
                    sections[line.strip()] = (label, part)
    patients = _patients(_read_sheet(downloads / "COVID-CT-MetaInfo.xlsx"))
    with (downloads / "NonCOVID-CT-MetaInfo.csv").open(newline="") as stream:
        patients |= _patients(list(csv.reader(stream)))
    rows = []
    for label in ("COVID", "NonCOVID"):
        images = _unpack_once(downloads / f"CT_{label}.zip", folder / "images" / label)
        for file in images:
            if file.name in sections:
                patient = patients.get(_stem(file.name), "")
                rows.append((file.relative_to(folder).as_posix(), label, patient, sections.pop(file.name)[1]))
    if sections or not all(row[2] for row in rows):
        without = [row[0] for row in rows if not row[2]]
        raise DatasetError(
            f"COVID-CT is not complete: {len(sections)} pictures of the published split are missing"
            f" ({', '.join(list(sections)[:3])}), and {len(without)} have no patient id ({', '.join(without[:3])})."
            " The repository may have changed; look at its page."
        )
    return _write_table(folder, ("file", "label", "patient_id", "split"), rows, official=True)


def prepare_head_ct(downloads: Path, folder: Path) -> list[Path]:
    """Head CT - hemorrhage: ``images/`` and ``labels.csv`` (file, label); there is no published split, no patient id.

    Raises:
        DatasetError: the archive is damaged or lacks the labels.
    """
    files = _unpack_once(downloads / "head-ct-hemorrhage.zip", folder / "images")
    tables = [file for file in files if file.name == "labels.csv"]
    pictures = {int(file.stem): file for file in files if file.suffix in _PICTURES and file.stem.isdigit()}
    if not tables or not pictures:
        raise DatasetError("head-ct-hemorrhage.zip holds no labels.csv with numbered pictures; it may have changed.")
    with tables[0].open(newline="") as stream:
        labels = {int(row[0]): row[1].strip() for row in list(csv.reader(stream))[1:] if row}
    if set(labels) - set(pictures):
        raise DatasetError(
            f"{len(set(labels) - set(pictures))} labelled pictures are missing in head-ct-hemorrhage.zip."
        )
    rows = [(pictures[number].relative_to(folder).as_posix(), label) for number, label in sorted(labels.items())]
    return _write_table(folder, ("file", "label"), rows, official=False)


def prepare_medmnist(file: Path, folder: Path) -> list[Path]:
    """MedMNIST: the file as published, and ``splits.json`` with its official split beside it.

    Raises:
        SplitError: the file is damaged.
    """
    splits = folder / f"{file.stem}_splits.json"
    official_splits(open_split_source(file)).save(splits)
    return [file, splits]


def _write_table(
    folder: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, official: bool
) -> list[Path]:
    table = folder / "labels.csv"
    table.write_text(csv_text(header, rows), encoding="utf-8", newline="")
    if not official:
        return [table]
    official_splits(open_split_source(table)).save(folder / "splits.json")
    return [table, folder / "splits.json"]


def _unpack_once(archive: Path, folder: Path) -> list[Path]:
    if folder.is_dir():
        return sorted(file for file in folder.rglob("*") if file.is_file())
    return unpack(archive, folder, suffixes=(*_PICTURES, ".csv"))


def _patients(rows: list[list[str]]) -> dict[str, str]:
    """Patient of every picture, by the picture's name without its ending, from a sheet with a header."""
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    names = [place for place, cell in enumerate(header) if "name" in cell or "image" in cell]
    ids = [place for place, cell in enumerate(header) if "patient" in cell]
    if not names or not ids:
        raise DatasetError(f"The table of COVID-CT's patients has no columns for picture and patient, but {header}.")
    width = max(names[0], ids[0]) + 1
    return {_stem(row[names[0]]): row[ids[0]].strip() for row in rows[1:] if len(row) >= width and row[names[0]]}


def _stem(name: str) -> str:
    name = name.strip()
    return name.rsplit(".", 1)[0] if name.lower().endswith(_PICTURES) else name


def _read_sheet(file: Path) -> list[list[str]]:
    """Cells of the first sheet of an Excel file (Office Open XML, ECMA-376), as text."""
    try:
        with zipfile.ZipFile(file) as book:
            shared = []
            if "xl/sharedStrings.xml" in book.namelist():
                for item in ElementTree.fromstring(book.read("xl/sharedStrings.xml")).iter(f"{_SPREADSHEET}si"):
                    shared.append("".join(text.text or "" for text in item.iter(f"{_SPREADSHEET}t")))
            sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    except (KeyError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise DatasetError(f"{file.name} cannot be read as an Excel file: {error}. Download it again.") from error
    rows = []
    for row in sheet.iter(f"{_SPREADSHEET}row"):
        cells: dict[int, str] = {}
        for cell in row.iter(f"{_SPREADSHEET}c"):
            text = "".join(part.text or "" for tag in ("v", "t") for part in cell.iter(f"{_SPREADSHEET}{tag}"))
            cells[_column(cell.get("r", "A1"))] = shared[int(text)] if cell.get("t") == "s" else text
        rows.append([cells.get(place, "") for place in range(max(cells, default=-1) + 1)])
    return rows


def _column(reference: str) -> int:
    """Number of the column, from 0, of a cell's reference such as ``AB12``."""
    number = 0
    for letter in re.match(r"[A-Z]*", reference)[0]:  # type: ignore[index]
        number = number * 26 + ord(letter) - ord("A") + 1
    return max(0, number - 1)
