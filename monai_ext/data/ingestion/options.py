"""What an ingestion was asked to do, checked before anything is touched."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from monai_ext.errors import DatasetError
from monai_ext.files import read_json

__all__ = ["IngestFilter", "IngestOptions"]

_SITE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_+-]{0,31}")
_LONG_NUMBER = re.compile(r"[0-9]{6}")
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class IngestFilter:
    """Which DICOM series are wanted. Text is compared without regard to case; nothing given means everything.

    Args:
        modality: values of Modality (0008,0060), ``["CT"]`` or ``["MR"]``; a store holds one of them.
        body_part: values of BodyPartExamined (0018,0015).
        kernel: values of ConvolutionKernel (0018,1210).
        slice_thickness_mm: ``[thinnest, thickest]`` of SliceThickness (0018,0050).
        least_slices: series with fewer slices are passed over.
        rescale_types: values of RescaleType (0028,1054) that mean Hounsfield units besides ``HU``.
    """

    modality: tuple[str, ...] = ("CT",)
    body_part: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()
    slice_thickness_mm: tuple[float, float] | None = None
    least_slices: int = 1
    rescale_types: tuple[str, ...] = ()

    @classmethod
    def load(cls, file: str | Path) -> IngestFilter:
        """Read a filter from a JSON file.

        Raises:
            DatasetError: it cannot be read, or does not say what a filter says.
        """
        try:
            content = read_json(file)
        except (OSError, ValueError) as error:
            raise DatasetError(f"The filter file {file} cannot be read: {error}.") from error
        if not isinstance(content, dict):
            raise DatasetError(f"The filter file {file} holds {type(content).__name__}; a JSON object is expected.")
        try:
            return cls.from_dict(content)
        except DatasetError as error:
            raise DatasetError(f"The filter file {file} cannot be used. {error}") from error

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> IngestFilter:
        """Check and take over the entries of a filter.

        Raises:
            DatasetError: an entry is unknown or of a wrong kind.
        """
        names = [item.name for item in fields(cls)]
        for name in content:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise DatasetError(f"A filter has no entry {name!r}; its entries are {', '.join(names)}.{hint}")
        checked: dict[str, Any] = {}
        for name, value in content.items():
            if name == "slice_thickness_mm":
                checked[name] = _thickness(value)
            elif name == "least_slices":
                checked[name] = _count(value)
            else:
                checked[name] = _texts(name, value)
        chosen = cls(**checked)
        if chosen.modality not in (("CT",), ("MR",)):
            raise DatasetError(
                'The filter\'s entry \'modality\' is ["CT"] or ["MR"]: a store holds one of them, since MR has no HU.'
            )
        return chosen

    @property
    def fingerprint(self) -> str:
        """Identifies what is wanted: files that were passed over are looked at again when it has changed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class IngestOptions:
    """How an ingestion is done; see :func:`~monai_ext.data.ingestion.ingest.ingest` for the meaning."""

    wanted: IngestFilter = field(default_factory=IngestFilter)
    in_plane: int | None = None
    patient_by: str = "auto"
    site: str | None = None
    deface: bool = False
    largest_part_bytes: int = 2**29
    file_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if self.in_plane is not None and self.in_plane < _SMALLEST_SIDE:
            raise DatasetError(f"in_plane is {self.in_plane}: slices should keep at least {_SMALLEST_SIDE} pixels.")
        if self.site is not None and (not _SITE.fullmatch(self.site) or _LONG_NUMBER.search(self.site)):
            raise DatasetError(
                "The site's code is not accepted: use up to 32 letters, digits or '_+-' that name no person, such as"
                " 'site-A'."
            )
        if self.file_timeout_s <= 0 or self.largest_part_bytes < 2**20:
            raise DatasetError("file_timeout_s must be positive and largest_part_bytes at least 1 MiB.")
        if self.patient_by.startswith("name:"):
            _pattern(self.patient_by)
        elif self.patient_by not in ("auto", "study", "folder", "file"):
            raise DatasetError(
                f"patient_by is {self.patient_by!r}; 'auto', 'study', 'folder', 'file' and 'name:REGEX' are possible."
            )

    @property
    def lasting(self) -> dict[str, Any]:
        """What must stay the same as long as a store is continued."""
        return {"in_plane": self.in_plane, "patient_by": self.patient_by, "deface": self.deface}

    def patient_from_name(self, name: str) -> str | None:
        """What identifies the patient of a file by its path relative to the source; None when something else does."""
        if self.patient_by == "folder":
            return name.split("/")[0] if "/" in name else name
        if self.patient_by == "file":
            return name
        if self.patient_by.startswith("name:"):
            found = _pattern(self.patient_by).search(name)
            return found.group(1) if found else name
        return None


def _pattern(patient_by: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(patient_by.removeprefix("name:"))
    except re.error as error:
        raise DatasetError(f"The pattern of patient_by is no regular expression: {error}.") from error
    if pattern.groups < 1:
        raise DatasetError("The pattern of patient_by needs a group: 'name:scan_([0-9]+)_' takes the number.")
    return pattern


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) and item.strip() for item in values):
        raise DatasetError(f"The filter's entry {name!r} is a list of texts.")
    return tuple(item.strip().upper() for item in values)


def _thickness(value: Any) -> tuple[float, float]:
    is_pair = isinstance(value, list) and len(value) == 2 and all(type(item) in (int, float) for item in value)
    if not is_pair or value[0] > value[1]:
        raise DatasetError("The filter's entry 'slice_thickness_mm' is [thinnest, thickest], such as [0.5, 3].")
    return float(value[0]), float(value[1])


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise DatasetError("The filter's entry 'least_slices' is a whole number from 1.")
    return value
