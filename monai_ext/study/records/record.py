"""The record of a finished cell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ext.errors import StudyError
from monai_ext.files import read_json, write_atomically
from monai_ext.study.cells.cell import Cell, canonical, name_of

__all__ = ["Record", "read_record", "record_path", "write_record"]

_FORMAT, _VERSION = "monai_ext study record", 1


@dataclass(frozen=True)
class Record:
    """One cell's result.

    Attributes:
        name: hash of the inputs.
        cell: protocol, method, task, size, fold, subset and seed.
        inputs: all that the result depends on.
        results: what the same inputs give again: metrics, choices, predictions of every test image.
        measured: what they do not: time, memory, hardware, versions.
    """

    name: str
    cell: Mapping[str, Any]
    inputs: Mapping[str, Any]
    results: Mapping[str, Any] = field(repr=False)
    measured: Mapping[str, Any] = field(repr=False)


def record_path(folder: Path, name: str) -> Path:
    """Where a record is."""
    return folder / f"{name}.json"


def write_record(folder: Path, cell: Cell, *, results: Mapping[str, Any], measured: Mapping[str, Any]) -> Path:
    """Write the record of a cell; it is there completely or not at all.

    Raises:
        OSError: the disk refuses.
    """
    about = {name: getattr(cell, name) for name in ("protocol", "method", "task", "size", "fold", "subset", "seed")}
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": cell.name,
        "cell": about,
        "inputs": dict(cell.inputs),
        "results": dict(results),
        "measured": dict(measured),
    }
    content = json.loads(canonical(content))  # so that the seal is that of what a reader sees
    content["sha256"] = _seal(content)
    path = record_path(folder, cell.name)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(json.dumps(content).encode()))
    return path


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        StudyError: it is damaged, was edited, has another name than its inputs say, or is of a newer format.
    """
    try:
        content = read_json(path)
        if content["format"] != _FORMAT:
            raise KeyError("format")
        if content["version"] > _VERSION:
            raise StudyError(
                f"The record {path} has format version {content['version']}; this program knows {_VERSION}: update"
                " monai_ext."
            )
        sealed = content.pop("sha256")
        if sealed != _seal(content):
            raise StudyError(
                f"The record {path} was edited after it was written: its content does not fit its hash. Delete it and"
                " run the study again, which makes this cell anew."
            )
        if content["name"] != name_of(content["inputs"]) or content["name"] != path.stem:
            raise StudyError(
                f"The record {path} does not have the name that its inputs give, {name_of(content['inputs'])}: it was"
                " renamed. Give it its name back, or delete it."
            )
        return Record(*(content[name] for name in ("name", "cell", "inputs", "results", "measured")))
    except OSError as error:
        raise StudyError(f"The record {path} cannot be read: {error.strerror}.") from error
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"The record {path} is damaged ({error!r}): delete it and run the study again.") from error


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(content)).hexdigest()
