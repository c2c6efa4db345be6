"""The files of a segmentation's result: tables and pictures, each there completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data import SegmentedImages
from monai_ext.files import write_result
from monai_ext.foreign_text import csv_text
from monai_ext.handlers.overlay_page import draw_overlay_page
from monai_ext.metrics import Estimate, SegmentationEvaluation, write_sizes

__all__ = ["PICTURES", "TABLES", "SegmentedCase", "write_segmentation_files"]

PICTURES = ("overlays", "sizes")
TABLES = ("metrics.json", "metrics.csv", "per_class.csv", "per_case.csv")


@dataclass(frozen=True)
class SegmentedCase:
    """One case with what was predicted of it.

    Attributes:
        indices: of its images, in order.
        group: the patient's pseudonym.
        resembles: whether it resembles an image of an earlier section.
        predicted, reference: class numbers (D, H, W), uint8.
    """

    indices: tuple[int, ...]
    group: str
    resembles: bool
    predicted: np.ndarray = field(repr=False)
    reference: np.ndarray = field(repr=False)


def write_segmentation_files(
    folder: Path,
    evaluation: SegmentationEvaluation,
    *,
    cases: Sequence[SegmentedCase],
    images: SegmentedImages,
    without_excluded: SegmentationEvaluation | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write ``TABLES``, and a PNG file for each of ``PICTURES``.

    Args:
        folder: of the files; it is made.
        evaluation: the result.
        cases: in the evaluation's order.
        images: that were judged.
        without_excluded: the result without cases that resemble one of an earlier section, told beside.
        details: plain values to keep in ``metrics.json``.

    Raises:
        TrainingStoppedError: the disk refuses.
    """
    content = evaluation.to_json() | dict(details or {})
    results = {"all cases": evaluation}
    if without_excluded is not None:
        results["without excluded"] = without_excluded
        content["without_excluded"] = without_excluded.to_json()
    _write_text(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    _write_table(folder / "metrics.csv", ["cases", "metric", "value", "low", "high"], _metric_rows(results))
    rows = [_flat(row) for row in evaluation.per_class]
    _write_table(folder / "per_class.csv", list(rows[0]), (row.values() for row in rows))
    _write_cases(folder / "per_case.csv", evaluation, cases)
    page = draw_overlay_page(images, cases, [scores.values["dice"] for scores in evaluation.cases])
    write_result(folder / "overlays.png", lambda file: page.save(file, format="PNG"), what="a picture")
    write_result(folder / "sizes.png", lambda file: write_sizes(evaluation, file), what="a picture")


def _metric_rows(results: Mapping[str, SegmentationEvaluation]) -> Iterable[list[Any]]:
    for cases, evaluation in results.items():
        for name, estimate in evaluation.metrics.items():
            yield [cases, name, *map(_cell, (estimate.value, estimate.low, estimate.high))]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Estimates become three columns."""
    cells: dict[str, Any] = {}
    for name, cell in row.items():
        if isinstance(cell, Estimate):
            cells |= {name: _cell(cell.value), f"{name}_low": _cell(cell.low), f"{name}_high": _cell(cell.high)}
        else:
            cells[name] = cell
    return cells


def _cell(value: float) -> float | str:
    return float(value) if np.isfinite(value) else ""


def _write_cases(path: Path, evaluation: SegmentationEvaluation, cases: Sequence[SegmentedCase]) -> None:
    header = ["case", "slices", "group", "excluded", "class", "dice", "nsd", "reference", "predicted", "unit"]
    rows: list[list[Any]] = []
    for number, (case, scores) in enumerate(zip(cases, evaluation.cases, strict=True)):
        about = [number, len(case.indices), case.group, int(case.resembles)]
        for place, name in enumerate(evaluation.class_names[1:]):
            values = (scores.dice[place], scores.nsd[place], scores.reference[place], scores.predicted[place])
            rows.append([*about, name, *map(_cell, values), scores.unit])
    _write_table(path, header, rows)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    _write_text(path, csv_text(header, rows))


def _write_text(path: Path, text: str) -> None:
    write_result(path, lambda file: file.write(text.encode()), what="a table")
