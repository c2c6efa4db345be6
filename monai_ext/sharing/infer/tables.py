"""Answers as JSON and as tables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ext.foreign_text import csv_text
from monai_ext.sharing.infer.answers import Answers, FileUse, SeriesAnswer, StudyAnswer
from monai_ext.sharing.infer.segmenting import SegmentedAnswers, SegmentedSeries

__all__ = ["answer_tables", "files_table", "segment_tables"]

ANSWERS = "answers.json"
SCHEMA = "monai_ext answers 1"
DISCLAIMER = "Research use only. Not a medical device; not for diagnosis."


def answer_tables(answers: Answers, notes: Any) -> list[tuple[str, bytes]]:
    """What a classifier said: JSON, and tables of series and of slices, as names and contents."""
    header = [*_SLICES, *answers.model["classes"], *_DISTANCES]
    return [
        (ANSWERS, _json(answers, notes, [_study(study) for study in answers.studies])),
        ("series.csv", _csv(_SERIES, [_series_row(answer) for answer in answers.series])),
        ("slices.csv", _csv(header, _slice_rows(answers))),
    ]


_SERIES = ["study_uid", "series_uid", "slices", "probability", "low", "high", "call", "warnings"]
_SLICES = ["series_uid", "instance_uid", "frame", "position_mm"]
_DISTANCES = ["feature_distance", "gray_distance"]


def _series_row(answer: SeriesAnswer) -> list[Any]:
    codes = " ".join(warning.code for warning in answer.warnings)
    interval = [answer.probability, answer.low, answer.high]
    return [answer.study_uid, answer.series_uid, len(answer.slices), *interval, answer.call, codes]


def _slice_rows(answers: Answers) -> list[list[Any]]:
    return [
        [
            answer.series_uid,
            answered.slice.instance_uid.decode("ascii", errors="replace"),
            answered.slice.frame,
            answered.slice.position_mm,
            *answered.probabilities,
            answered.feature_distance,
            answered.gray_distance,
        ]
        for answer in answers.series
        for answered in answer.slices
    ]


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


def segment_tables(answers: SegmentedAnswers, notes: Any) -> list[tuple[str, bytes]]:
    """What a segmentation network marked: JSON, and a table with a row for each series and label."""
    studies: dict[str, list[dict[str, Any]]] = {}
    for answer in answers.series:
        studies.setdefault(answer.study_uid, []).append(_segmented(answer, answers.model["labels"]))
    content = [{"study_uid": uid, "series": series} for uid, series in studies.items()]
    return [
        (ANSWERS, _json(answers, notes, content)),
        ("series.csv", _csv(_SEGMENTS, _segment_rows(answers))),
    ]


_SEGMENTS = ["study_uid", "series_uid", "slices", "label", "name", "volume_ml", "marked_slices", "warnings"]


def _segmented(answer: SegmentedSeries, labels: Mapping[int, str]) -> dict[str, Any]:
    fullest = answer.slices[answer.fullest]
    return {
        "series_uid": answer.series_uid,
        "slices": len(answer.slices),
        "segments": [
            {
                "label": number,
                "name": name,
                "volume_ml": answer.volumes_ml[number],
                "marked_slices": answer.marked_slices(number),
            }
            for number, name in labels.items()
        ],
        "fullest_instance_uid": fullest.instance_uid.decode("ascii", errors="replace"),
        "fullest_frame": fullest.frame,
        "warnings": [vars(warning) for warning in answer.warnings],
    }


def _segment_rows(answers: SegmentedAnswers) -> list[list[Any]]:
    return [
        [
            *(answer.study_uid, answer.series_uid, len(answer.slices), number, name),
            *(answer.volumes_ml[number], answer.marked_slices(number)),
            " ".join(warning.code for warning in answer.warnings),
        ]
        for answer in answers.series
        for number, name in answers.model["labels"].items()
    ]


def files_table(files: Sequence[FileUse], root: Path, *, file_names: bool = True) -> tuple[str, bytes]:
    """What became of every file, with names relative to the source or, without names, numbers in their order."""
    names = [_relative(file.path, root) if file_names else number for number, file in enumerate(files, 1)]
    rows = [[name, file.outcome, file.reason] for name, file in zip(names, files, strict=True)]
    return "files.csv", _csv(["file", "outcome", "reason"], rows)


def _relative(path: Path, root: Path) -> str:
    resolved = path if path.is_absolute() else path.absolute()
    return os.path.relpath(resolved, root)


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    shown = ([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows)
    return csv_text(header, shown).encode()


def _json(answers: Answers | SegmentedAnswers, notes: Any, studies: list[dict[str, Any]]) -> bytes:
    outcomes: dict[str, int] = {}
    for file in answers.files:
        outcomes[file.outcome] = outcomes.get(file.outcome, 0) + 1
    content = {
        "schema": SCHEMA,
        "disclaimer": DISCLAIMER,
        "model": answers.model,
        "rules": answers.rules,
        "files": {"count": len(answers.files), "outcomes": outcomes},
        "studies": studies,
        "notes": notes or [],
    }
    return (json.dumps(content, indent=2) + "\n").encode()
