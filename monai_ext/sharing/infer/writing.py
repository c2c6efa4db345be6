"""Write answers: JSON, tables, and DICOM objects; all of them at once, or nothing."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_ext.errors import DatasetError
from monai_ext.files import sync_folder
from monai_ext.foreign_text import csv_text
from monai_ext.sharing.infer.answers import STUDY_RULE, Answers, SeriesAnswer, StudyAnswer

__all__ = ["ANSWERS", "write_answers"]

ANSWERS = "answers.json"
SCHEMA = "monai_ext answers 1"
DISCLAIMER = "Research use only. Not a medical device; not for diagnosis."


def write_answers(
    answers: Answers,
    output: str | Path,
    *,
    source: str | Path,
    objects: Sequence[tuple[str, bytes]] = (),
    notes: Any = None,
) -> Path:
    """Write answers into a folder that must not exist yet, or be empty.

    Args:
        answers: by :func:`~monai_ext.sharing.infer.answer_folder`.
        output: folder to be made; everything takes its place in one step.
        source: folder that names of files are given relative to.
        objects: DICOM objects, as names and contents.
        notes: what else is to be said in the JSON file, such as series for which no DICOM object could be made.

    Raises:
        DatasetError: the folder is not empty, lies in the source, or cannot be written.
    """
    target, root = Path(output), Path(source).resolve()
    if target.resolve().is_relative_to(root):
        raise DatasetError(
            f"The answers would lie in {target}, within the source, which is never changed. Name another folder."
        )
    try:
        if target.exists() and any(target.iterdir()):
            raise DatasetError(f"The folder {target} for the answers is not empty: name a new one.")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".answers-", dir=target.parent))
    except OSError as error:
        raise DatasetError(f"Writing answers to {target}: {error.strerror or error}. Name another folder.") from error
    try:
        for name, content in (*_tables(answers, root, notes), *objects):
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


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _tables(answers: Answers, root: Path, notes: Any) -> list[tuple[str, bytes]]:
    files = [[_relative(file.path, root), file.outcome, file.reason] for file in answers.files]
    return [
        (ANSWERS, (json.dumps(_as_json(answers, notes), indent=2) + "\n").encode()),
        ("series.csv", _csv(_SERIES, [_series_row(answer) for answer in answers.series])),
        ("slices.csv", _csv([*_SLICES, *answers.model["classes"], *_DISTANCES], _slice_rows(answers))),
        ("files.csv", _csv(["file", "outcome", "reason"], files)),
    ]


def _relative(path: Path, root: Path) -> str:
    resolved = path if path.is_absolute() else path.absolute()
    return os.path.relpath(resolved, root)


_SERIES = ["study_uid", "series_uid", "slices", "probability", "low", "high", "call", "warnings"]
_SLICES = ["series_uid", "instance_uid", "frame", "position_mm"]
_DISTANCES = ["feature_distance", "gray_distance"]


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    shown = ([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows)
    return csv_text(header, shown).encode()


def _series_row(answer: SeriesAnswer) -> list[Any]:
    codes = " ".join(warning.code for warning in answer.warnings)
    interval = [answer.probability, answer.low, answer.high]
    return [answer.study_uid, answer.series_uid, len(answer.slices), *interval, answer.call, codes]


def _slice_rows(answers: Answers) -> list[list[Any]]:
    return [
        [
            answer.series_uid,
            one.slice.instance_uid.decode("ascii", errors="replace"),
            one.slice.frame,
            one.slice.position_mm,
            *one.probabilities,
            one.feature_distance,
            one.gray_distance,
        ]
        for answer in answers.series
        for one in answer.slices
    ]


def _as_json(answers: Answers, notes: Any) -> dict[str, Any]:
    outcomes: dict[str, int] = {}
    for file in answers.files:
        outcomes[file.outcome] = outcomes.get(file.outcome, 0) + 1
    return {
        "schema": SCHEMA,
        "disclaimer": DISCLAIMER,
        "model": answers.model,
        "rules": answers.rules | {"study": STUDY_RULE, "interval": "95 %, slices of the series drawn again"},
        "files": {"count": len(answers.files), "outcomes": outcomes},
        "studies": [_study(study) for study in answers.studies],
        "notes": notes or [],
    }


def _study(study: StudyAnswer) -> dict[str, Any]:
    strongest = study.strongest
    decided = {"probability": strongest.probability, "call": strongest.call, "decided_by": strongest.series_uid}
    return {"study_uid": study.study_uid, **decided, "series": [_series(answer) for answer in study.series]}


def _series(answer: SeriesAnswer) -> dict[str, Any]:
    strongest = answer.slices[answer.strongest].slice
    return {
        "series_uid": answer.series_uid,
        "slices": len(answer.slices),
        "probability": answer.probability,
        "interval": [answer.low, answer.high],
        "call": answer.call,
        "strongest_instance_uid": strongest.instance_uid.decode("ascii", errors="replace"),
        "strongest_frame": strongest.frame,
        "warnings": [vars(warning) for warning in answer.warnings],
    }
