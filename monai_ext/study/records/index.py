"""Which cells a study has: written when it is run, so that status and report need neither data nor bundles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from monai_ext.errors import StudyError
from monai_ext.files import read_json, write_atomically
from monai_ext.study.cells.cell import Cell, name_of
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import record_path

__all__ = ["PlannedCell", "foreign_records", "read_index", "write_index"]

_FILE = "cells.json"
_COLUMNS = ("name", "protocol", "method", "task", "size", "fold", "subset", "seed")


@dataclass(frozen=True)
class PlannedCell:
    """A cell of the plan by the name of its record."""

    name: str
    protocol: str
    method: str
    task: str
    size: str
    fold: int
    subset: int
    seed: int


def write_index(folder: StudyFolder, cells: Sequence[Cell]) -> None:
    """Write the table of cells."""
    rows = [[getattr(cell, column) for column in _COLUMNS] for cell in cells]
    text = json.dumps({"columns": _COLUMNS, "cells": rows})
    write_atomically(folder.path / _FILE, lambda file: file.write(text.encode()))


def read_index(folder: StudyFolder) -> list[PlannedCell]:
    """Read the table of cells.

    Raises:
        StudyError: the study was not run in this folder, or the file is damaged.
    """
    path = folder.path / _FILE
    try:
        return [PlannedCell(*row) for row in read_json(path)["cells"]]
    except OSError as error:
        raise StudyError(
            f"{folder.path} holds no study: run it first, `python -m monai_ext study run PLAN --output {folder.path}`."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is damaged ({error!r}): run the study again, which keeps its records.") from error


def foreign_records(folder: StudyFolder, cells: Iterable[Cell]) -> tuple[list[str], dict[str, list[str]]]:
    """Records of no cell of the plan, and among them those of the same cells by another version, by version.

    Raises:
        StudyError: a record is damaged.
    """
    versions: dict[str, Any] = {}
    planned = set()
    for cell in cells:
        planned.add(cell.name)
        versions = {name: cell.inputs[name] for name in ("monai_ext", "protocol_version")}
    strangers, of_version = [], dict[str, list[str]]()
    for name in sorted(folder.names() - planned):
        if not record_path(folder.records, name).is_file():
            continue
        inputs = folder.read(name).inputs
        strangers.append(name)
        if name_of({**inputs, **versions}) in planned:
            version = f"{inputs.get('monai_ext')} (protocols {inputs.get('protocol_version')})"
            of_version.setdefault(version, []).append(name)
    return strangers, of_version
