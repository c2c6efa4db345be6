"""The folder of a study: its plan, splits, encoders, features, records, failures and reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_ext.errors import StudyError
from monai_ext.files import read_json, remove_partial_files, write_atomically
from monai_ext.folder_lock import FolderInUseError, FolderLock, notes_of_holder
from monai_ext.study.records.record import Record, read_record, record_path

__all__ = ["StudyFolder"]

_STATE = "study.json"


class StudyFolder:
    """Paths of a study, and what lies there.

    Args:
        path: of the folder; it is made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().resolve()
        self.records = self.path / "records"
        self.splits = self.path / "splits"
        self.encoders = self.path / "encoders"
        self.features = self.path / "features"
        self.failures = self.path / "failures"
        self.work = self.path / "work"
        self.report = self.path / "report"

    def names(self) -> set[str]:
        """Names of the records that are there."""
        return {path.stem for path in self.records.glob("[!.]*.json")}

    def read(self, name: str) -> Record:
        """Read a record.

        Raises:
            StudyError: it is damaged or was edited.
        """
        return read_record(record_path(self.records, name))

    def state(self) -> dict[str, Any]:
        """Name of the study, its MLflow run, and the like; empty for a fresh folder.

        Raises:
            StudyError: the file is damaged.
        """
        path = self.path / _STATE
        if not path.exists():
            return {}
        try:
            return dict(read_json(path))
        except (OSError, ValueError) as error:
            raise StudyError(f"{path} cannot be read ({error}): delete it; records stay as they are.") from error

    def update_state(self, **values: Any) -> None:
        """Remember values."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = self.state() | values
        write_atomically(self.path / _STATE, lambda file: file.write(json.dumps(content, indent=1).encode()))

    def keep_plan(self, plan: Mapping[str, Any]) -> None:
        """Keep what was planned, for the report."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(plan), indent=1).encode()
        write_atomically(self.path / "plan.json", lambda file: file.write(text))

    def adopt(self, study: str) -> None:
        """Make sure that the folder is this study's.

        Raises:
            StudyError: it is that of another study.
        """
        owner = self.state().get("name")
        if owner not in (None, study):
            raise StudyError(
                f"The folder {self.path} is that of the study {owner!r}, not of {study!r}: two studies in one folder"
                " would be one report. Choose another folder with --output, or give the plan the study's name."
            )
        self.update_state(name=study)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who runs in this folder; the lock ends with the process, however it ends.

        Raises:
            StudyError: somebody else is running it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(self.path)
        try:
            lock.acquire()
        except FolderInUseError as error:
            raise StudyError(
                f"The study in {self.path} is being run by process"
                f" {notes_of_holder(self.path).get('process', 'unknown')}: wait for it"
                " (`study status` shows how far it is), or choose another folder with --output."
            ) from error
        try:
            if self.records.is_dir():
                remove_partial_files(self.records)
            yield
        finally:
            lock.release()

    def note_failure(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep why a cell failed."""
        self.failures.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(content), indent=1).encode()
        write_atomically(record_path(self.failures, name), lambda file: file.write(text))

    def forget_failure(self, name: str) -> None:
        """The cell is being tried again, or is done."""
        record_path(self.failures, name).unlink(missing_ok=True)

    def failed(self) -> dict[str, dict[str, Any]]:
        """Cells that failed at last, with the reason."""
        found = {}
        for path in sorted(self.failures.glob("[!.]*.json")):
            try:
                found[path.stem] = dict(read_json(path))
            except (OSError, ValueError):
                found[path.stem] = {"error": "unknown: the file is damaged"}
        return found
