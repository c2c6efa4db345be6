"""Write answers: JSON, tables, and DICOM objects; all of them at once, or nothing."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ext.errors import DatasetError
from monai_ext.files import sync_folder
from monai_ext.sharing.infer.answers import Answers
from monai_ext.sharing.infer.segmenting import SegmentedAnswers
from monai_ext.sharing.infer.tables import answer_tables, files_table, segment_tables

__all__ = ["check_output", "write_answers"]


def write_answers(
    answers: Answers | SegmentedAnswers,
    output: str | Path,
    *,
    source: str | Path,
    objects: Sequence[tuple[str, bytes]] = (),
    notes: Any = None,
    file_names: bool = True,
) -> Path:
    """Write answers into a folder that must not exist yet, or be empty.

    Args:
        answers: by :func:`~monai_ext.sharing.infer.answer_folder`, or of a segmentation network.
        output: folder to be made; everything takes its place in one step.
        source: folder that names of files are given relative to.
        objects: DICOM objects, as names and contents.
        notes: what else is to be said in the JSON file, such as series for which no DICOM object could be made.
        file_names: whether the table of files names them; else it numbers them, since names often hold a patient's.

    Raises:
        DatasetError: the folder is not empty, lies in the source, or cannot be written.
    """
    target, root = Path(output), Path(source).resolve()
    partial = _made_beside(target, root)
    try:
        tables = answer_tables(answers, notes) if isinstance(answers, Answers) else segment_tables(answers, notes)
        for name, content in (*tables, files_table(answers.files, root, file_names=file_names), *objects):
            _write(partial / name, content)
        partial.chmod(0o755)
        os.replace(partial, target)
        sync_folder(target.parent)
    except OSError as error:
        raise DatasetError(
            f"Writing answers to {target}: {error.strerror or error}. Nothing was left there."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def check_output(output: str | Path, source: str | Path) -> None:
    """Refuse a folder that answers could not be written to, before the work of answering.

    Raises:
        DatasetError: the folder is not empty, lies in the source, or cannot be written.
    """
    _made_beside(Path(output), Path(source).resolve()).rmdir()


def _made_beside(target: Path, root: Path) -> Path:
    """An empty folder beside the target, to be renamed to it once it is complete."""
    if target.resolve().is_relative_to(root):
        raise DatasetError(
            f"The answers would lie in {target}, within the source, which is never changed. Name another folder."
        )
    try:
        if target.exists() and any(target.iterdir()):
            raise DatasetError(f"The folder {target} for the answers is not empty: name a new one.")
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".answers-", dir=target.parent))
    except OSError as error:
        raise DatasetError(f"Writing answers to {target}: {error.strerror or error}. Name another folder.") from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
