"""The slice store's format on disk: its files, the columns of its index, and which values they may hold.

::

    STORE/
      slice_store.json              format, version, source kind, generation of the index with the checksums of its two
                                    files, and a checksum of all this: replaced last
      index/series-00000003.parquet one row a series: shape, hash, where each slice's chunk lies, provenance
      index/slices-00000003.parquet one row a slice: the columns of INDEX_COLUMNS
      pending/SERIES.CRC32.arrow    series that were added since, together: rows of both tables; its renaming is the
                                    commit
      series/SE/SERIES.b2nd         pixels: a Blosc2 NDArray (n, rows, columns), one chunk a slice
      set_aside.json                damaged slices that readers pass over, where there are any
      writer.lock                   locked while somebody writes

Nothing identifies a patient: ids are pseudonyms made by the caller, other text is a short code. Files are written for
their owner only. A store may come from somebody else: readers check every field (``validation.py``, ``codec.py``).
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.errors import SliceStoreError
from monai_ext.files import open_regular, read_json, write_durably

__all__ = [
    "INDEX_COLUMNS",
    "PIXEL_TYPES",
    "IndexColumn",
    "Manifest",
    "is_slice_store",
    "read_manifest",
]

FORMAT = "monai_ext slice store"
VERSION = 1
LARGEST_SIDE = 16384
"""Longest side of a slice in pixels: more is damage, or somebody wants the memory."""
FOLDER_MODE = 0o700
MANIFEST, LOCK, SET_ASIDE = "slice_store.json", "writer.lock", "set_aside.json"
INDEX, PENDING, SERIES = "index", "pending", "series"
PIXEL_TYPES: dict[str, type] = {"ct": np.int16, "mr": np.int16, "picture": np.uint8}
"""Source kinds with the type of their pixels: Hounsfield units, MR scaled by percentiles, 8-bit gray levels."""

PSEUDONYM = re.compile(r"[0-9A-Za-z_-]{8,64}")
CODE = re.compile(r"(?!.*[0-9]{6})[0-9A-Za-z][0-9A-Za-z_+./-]{0,31}")
HASH = re.compile(r"[0-9a-f]{64}")
_UID = re.compile(r"[0-9]+(\.[0-9]+){5,}")


@dataclass(frozen=True)
class IndexColumn:
    """A column of the index: ``kind`` is ``"pseudonym"``, ``"integer"``, ``"number"`` or ``"code"``."""

    kind: str
    meaning: str
    reason: str
    written_by_store: bool = False


_GEOMETRY = "the size of structures, and views and resampling that respect it"
INDEX_COLUMNS: dict[str, IndexColumn] = {
    "series_id": IndexColumn("pseudonym", "keyed hash of the series", "slices of one series are neighbours", True),
    "slice_number": IndexColumn("integer", "place along the normal, from 0", "order within the series", True),
    "patient_id": IndexColumn("pseudonym", "keyed hash of the patient", "splits are made by patient"),
    "study_id": IndexColumn("pseudonym", "keyed hash of the study", "series of one examination belong together"),
    "rows": IndexColumn("integer", "height in pixels", _GEOMETRY, True),
    "columns": IndexColumn("integer", "width in pixels", _GEOMETRY, True),
    "position_mm": IndexColumn("number", "position along the normal in mm", _GEOMETRY),
    "row_spacing_mm": IndexColumn("number", "distance of rows in mm", _GEOMETRY),
    "column_spacing_mm": IndexColumn("number", "distance of columns in mm", _GEOMETRY),
    "slice_spacing_mm": IndexColumn("number", "distance to the next slice in mm", _GEOMETRY),
    "slice_thickness_mm": IndexColumn(
        "number", "Slice Thickness (0018,0050) in mm", "it changes noise and partial volume"
    ),
    "gantry_tilt_deg": IndexColumn(
        "number", "Gantry/Detector Tilt (0018,1120) in degrees", "tilted slices are sheared"
    ),
    "kernel": IndexColumn("code", "reconstruction kernel", "it changes noise and sharpness"),
    "modality": IndexColumn("code", "CT, MR, ...", "says what the values mean"),
    "body_part": IndexColumn("code", "body part as a DICOM defined term", "choosing and describing the data"),
    "source_format": IndexColumn("code", "dicom, nifti, picture, ...", "says where the values come from"),
    "label": IndexColumn("code", "class of a labelled public data set", "training and stratified splits"),
    "section": IndexColumn("code", "section of a published split", "official splits"),
    "site": IndexColumn("code", "code of the hospital or scanner", "stratified splits by site"),
}
"""Everything that is kept about a slice, with the reason; a store refuses any other column."""


@dataclass(frozen=True)
class Manifest:
    """Content of ``slice_store.json``.

    Attributes:
        source_kind: one of ``PIXEL_TYPES``.
        generation: number of the index files; 0 means that there are none yet.
        index: CRC-32 of the index files by the name of their table; stores of older versions have none.
        version: of the format.
    """

    source_kind: str
    generation: int = 0
    index: Mapping[str, int] = field(default_factory=dict)
    version: int = VERSION

    def save(self, store: Path) -> None:
        """Replace the store's manifest; its index files must be there already."""
        content = {"format": FORMAT, "version": self.version, "source_kind": self.source_kind}
        content |= {"generation": self.generation, "index": dict(self.index)}
        write_durably(store / MANIFEST, sealed(content), owner_only=True)


def is_slice_store(path: str | Path) -> bool:
    """Whether a folder is a slice store, of whatever version; a damaged manifest counts, so that opening explains."""
    try:
        with open_regular(Path(path) / MANIFEST) as manifest:
            return FORMAT.encode() in manifest.read(4096)
    except OSError:
        return False


def sealed(content: Mapping[str, Any]) -> bytes:
    """JSON with a checksum of itself, so that a flipped bit is seen."""
    return (json.dumps(dict(content) | {"crc32": _seal(content)}, indent=2) + "\n").encode()


def unsealed(file: Path) -> Any:
    """Read JSON, and compare its checksum where it has one; older versions wrote none.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    return _without_seal(read_json(file))


def _without_seal(content: Any) -> Any:
    if isinstance(content, dict) and "crc32" in content:
        seal = content.pop("crc32")
        if seal != _seal(content):
            raise ValueError("its checksum does not match")
    return content


def _seal(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(dict(content), sort_keys=True).encode())


def read_manifest(store: Path) -> Manifest:
    """Read what a store says about itself.

    Raises:
        SliceStoreError: the folder is no store, its manifest is damaged, or its format is newer than this program.
    """
    if not is_slice_store(store):
        raise SliceStoreError(
            f"{store} is no slice store: it has no {MANIFEST}. Make one with `python -m monai_ext ingest SOURCE STORE`."
        )
    try:
        content = read_json(store / MANIFEST)
        _refuse_newer(store, content["version"])
        return _manifest(_without_seal(content))
    except (KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, SliceStoreError):
            raise
        raise SliceStoreError(
            f"The slice store {store} cannot be opened: {MANIFEST} is damaged ({error}). Restore it from a copy, or"
            " ingest the source again."
        ) from error


def _refuse_newer(store: Path, version: Any) -> None:
    if type(version) is int and version > VERSION:
        raise SliceStoreError(
            f"The slice store {store} has format version {version}, but this program knows versions up to {VERSION}:"
            " update monai_ext, or ingest the source again with this version."
        )


def _manifest(content: Mapping[str, Any]) -> Manifest:
    unknown = sorted(set(content) - {"format", "version", "source_kind", "generation", "index"})
    if unknown or content["format"] != FORMAT:
        raise ValueError(f"it says {unknown[0] if unknown else content['format']!r}")
    index = content.get("index", {})
    if not isinstance(index, dict):
        raise ValueError("its checksums of the index are none")
    manifest = Manifest(content["source_kind"], content["generation"], index, version=content["version"])
    if manifest.source_kind not in PIXEL_TYPES:
        raise ValueError(f"its source kind is {manifest.source_kind!r}, while {', '.join(PIXEL_TYPES)} are known")
    numbers = [manifest.generation, manifest.version - 1, *manifest.index.values()]
    if not all(type(number) is int and 0 <= number < 2**32 for number in numbers):
        raise ValueError("a number is out of range")
    return manifest


def series_file(store: Path, series_id: str) -> Path:
    """Where the pixels of a series lie; two levels, since a folder with very many files is slow on some disks."""
    return store / SERIES / series_id[:2].lower() / f"{series_id}.b2nd"


def check_series_key(series_key: str) -> str:
    """Return a series' pseudonym.

    Raises:
        SliceStoreError: it is no pseudonym (a UID, a path, a name would identify the patient).
    """
    if not isinstance(series_key, str) or not PSEUDONYM.fullmatch(series_key):
        raise SliceStoreError(
            "A series cannot be stored under the key that was given (it is not repeated here, as it may identify a"
            " patient): pass a pseudonym of 8 to 64 letters, digits, '_' or '-', such as a keyed hash."
        )
    return series_key


def check_table(table: Sequence[Mapping[str, Any]], *, slices: int) -> list[dict[str, Any]]:
    """Return the index rows of a series with plain values; missing and not-a-number become None.

    Raises:
        SliceStoreError: not one row a slice, an unknown column, a value that is not of the column's kind, or no
            patient_id. The value itself is never repeated.
    """
    if len(table) != slices:
        raise SliceStoreError(f"A series has {slices} slices but {len(table)} rows in its table: give one row a slice.")
    accepted = [name for name, column in INDEX_COLUMNS.items() if not column.written_by_store]
    for row in table:
        unknown = sorted(set(row) - set(accepted))
        if unknown:
            raise SliceStoreError(f"The index has no column {unknown[0]!r}; its columns are {', '.join(accepted)}.")
        if row.get("patient_id") is None:
            raise SliceStoreError("A slice has no patient_id: every slice needs one, since splits are made by patient.")
    return [{name: _plain(name, row.get(name)) for name in accepted} for row in table]


def _plain(name: str, value: Any) -> Any:
    kind = INDEX_COLUMNS[name].kind
    if value is None:
        return None
    if kind == "number" and isinstance(value, int | float | np.number):
        return float(value) if math.isfinite(value) else None
    pattern = {"pseudonym": PSEUDONYM, "code": CODE}.get(kind)
    if pattern is not None and isinstance(value, str) and pattern.fullmatch(value):
        return value
    accepted = {
        "number": "a number",
        "pseudonym": "8 to 64 letters, digits, '_' or '-'",
        "code": "up to 32 letters, digits or '_+./-' without a long number",
    }[kind]
    raise SliceStoreError(
        f"A value of the column {name} cannot be stored (it is not repeated here, as it may identify a patient):"
        f" {accepted} is accepted. Replace free text by a code."
    )


def check_provenance(provenance: Mapping[str, Any]) -> str:
    """Return a series' provenance as JSON: numbers, flags, short codes, and lists of these under plain names.

    Raises:
        SliceStoreError: a name or value could be free text or a UID.
    """
    for name, value in provenance.items():
        for part in value if isinstance(value, list | tuple) else [value]:
            plain = part is None or isinstance(part, bool | int | float)
            code = isinstance(part, str) and CODE.fullmatch(part) is not None and not _UID.search(part)
            if not (plain or code) or not name.isidentifier():
                raise SliceStoreError(
                    f"The provenance {name!r} cannot be stored: numbers, flags, short codes and lists of them are"
                    " accepted, free text is not, as it may identify a patient."
                )
    return json.dumps(dict(provenance), sort_keys=True)
