"""What the text of a MetaImage or NRRD header says: where the values are, and what they mean."""

from __future__ import annotations

import math
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from monai_ext.data.dicom.refusals import Refusal, SkipReason

__all__ = ["ItkHeader", "read_itk_header"]

_LONGEST_BYTES = 2**16
METAIMAGE_SUFFIXES = (".mhd", ".mha")
_BYTES = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR", "int8", "uint8", "char", "signed char", "uchar", "unsigned char"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT", "short", "ushort", "unsigned short", "int16", "uint16"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_FLOAT", "int", "uint", "unsigned int", "int32", "uint32", "float"), 4),
    **dict.fromkeys(("MET_DOUBLE", "double", "MET_LONG_LONG", "int64", "long long"), 8),
}
_HOUNSFIELD = ("HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "[HNSF'U]")
_UNKNOWN_MODALITIES = ("", "UNKNOWN", "OTHER")
_COUNT = re.compile(r"[0-9]{1,9}")
_PATTERN = re.compile(r"%[0-9]*d")


@dataclass(frozen=True)
class ItkHeader:
    """A header, checked.

    Args:
        values: the file that holds the values: the header itself, or one beside it.
        is_compressed: whether they are compressed, or written as text.
        says_hounsfield: whether it says that they are Hounsfield units, or of CT.
    """

    values: Path
    is_compressed: bool
    says_hounsfield: bool


def read_itk_header(path: Path, *, modality: str = "CT") -> ItkHeader:
    """Read and check a header (``.mhd``, ``.mha``, ``.nrrd``, ``.nhdr``).

    A header that names another file is not believed: the file has to lie beside it or below, be a regular one, and be
    long enough.

    Args:
        path: of the header.
        modality: that is wanted, ``"CT"`` or ``"MR"``.

    Raises:
        Refusal: it is damaged, says that it is of another modality or unit, or its values are not where they should be.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        beginning = stream.read(_LONGEST_BYTES)
    fields, length = _metaimage(beginning) if path.suffix.lower() in METAIMAGE_SUFFIXES else _nrrd(beginning)
    _refuse_other_meaning(fields, modality)
    named = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile") or "LOCAL"
    values = path if named.upper() == "LOCAL" else _beside(path, named)
    encoding = fields.get("encoding", "raw").lower()
    is_packed = fields.get("compresseddata", "").lower() in ("true", "1") or encoding != "raw"
    is_text = fields.get("binarydata", "true").lower() in ("false", "0")
    if not (is_packed or is_text):
        _refuse_short(values, fields, length if values == path else 0)
    return ItkHeader(
        values,
        is_compressed=is_packed or is_text,
        says_hounsfield=_modality(fields) == "CT" or _unit(fields) in _HOUNSFIELD,
    )


def _metaimage(beginning: bytes) -> tuple[dict[str, str], int]:
    """Fields ``Name = value``, the last of which says where the values are; and the length of the header."""
    fields: dict[str, str] = {}
    place = 0
    while (end := beginning.find(b"\n", place)) >= 0:
        name, mark, value = beginning[place:end].decode("latin-1").partition("=")
        place = end + 1
        if not mark:
            break
        fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            return fields, place
    raise Refusal(SkipReason.DAMAGED, "it is no MetaImage, or its header has no ElementDataFile")


def _nrrd(beginning: bytes) -> tuple[dict[str, str], int]:
    """Fields ``name: value`` and ``key:=value`` up to an empty line, or to the end of a header alone."""
    if not beginning.startswith(b"NRRD"):
        raise Refusal(SkipReason.DAMAGED, "it is no NRRD")
    found = re.search(rb"\r?\n\r?\n", beginning)
    text = beginning[: found.start()] if found else beginning
    fields: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines()[1:]:
        name, mark, value = line.partition(":=" if ":=" in line else ":")
        if mark and not line.startswith("#"):
            fields[name.strip().lower()] = value.strip()
    return fields, found.end() if found else len(beginning)


def _beside(path: Path, named: str) -> Path:
    """The file with the values, which has to be below the header's folder.

    Raises:
        Refusal: it is not, is several files, or no regular one.
    """
    if named.upper().startswith("LIST") or _PATTERN.search(named):
        raise Refusal(SkipReason.PIXEL_FORMAT, "its values lie in several files: write them into one")
    relative = Path(named)
    if relative.is_absolute() or ".." in relative.parts:
        raise Refusal(SkipReason.PIXEL_FORMAT, "its header names a file outside of its folder")
    values = path.parent / relative
    try:
        status = values.stat()
    except (OSError, ValueError):  # the latter for names that no file can have
        raise Refusal(SkipReason.CUT_PIXELS, "the file with its values is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise Refusal(SkipReason.SPECIAL_FILE, "the file with its values is no regular file")
    return values


def _refuse_short(values: Path, fields: dict[str, str], header_bytes: int) -> None:
    """Compare the size of uncompressed values with what the header declares, as far as it can be told."""
    sizes = (fields.get("dimsize") or fields.get("sizes") or "").split()
    width = _BYTES.get(fields.get("elementtype") or fields.get("type") or "")
    counts = [*sizes, fields.get("elementnumberofchannels", "1")]
    if width is None or not sizes or not all(map(_COUNT.fullmatch, counts)):
        return
    needed = width * math.prod(map(int, counts))
    there = values.stat().st_size - header_bytes
    if there < needed:
        raise Refusal(SkipReason.CUT_PIXELS, f"{needed} bytes are declared, {max(0, there)} are there")


def _refuse_other_meaning(fields: dict[str, str], modality: str) -> None:
    is_hounsfield = _unit(fields) in _HOUNSFIELD
    if _modality(fields) not in (*_UNKNOWN_MODALITIES, modality) or (modality != "CT" and is_hounsfield):
        raise Refusal(SkipReason.OTHER_MODALITY, "its header says so")
    if modality == "CT" and _unit(fields) and not is_hounsfield:
        raise Refusal(SkipReason.NOT_HOUNSFIELD, "its header names another unit")


def _modality(fields: dict[str, str]) -> str:
    """MetaImage's ``Modality = MET_MOD_CT``; NRRD writers keep it as a key, as 3D Slicer does."""
    found = fields.get("modality") or fields.get("dicom.modality") or fields.get("dicom_0008_0060") or ""
    return found.upper().removeprefix("MET_MOD_")


def _unit(fields: dict[str, str]) -> str:
    """NRRD's ``sample units``."""
    return (fields.get("sample units") or fields.get("sampleunits") or "").strip('"').upper()
