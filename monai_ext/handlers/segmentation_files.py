"""The files of a segmentation's result: tables and pictures, each there completely or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data import SegmentedImages
from monai_ext.files import write_result
from monai_ext.handlers.overlay_page import draw_overlay_page
from monai_ext.handlers.result_files import cell, write_estimates, write_table
from monai_ext.metrics import SegmentationEvaluation, write_sizes

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
    results = {"all cases": evaluation}
    if without_excluded is not None:
        results["without excluded"] = without_excluded
    write_estimates(folder, results, judged="cases", details=details)
    _write_cases(folder / "per_case.csv", evaluation, cases)
    page = draw_overlay_page(images, cases, [scores.values["dice"] for scores in evaluation.cases])
    write_result(folder / "overlays.png", lambda file: page.save(file, format="PNG"), what="a picture")
    write_result(folder / "sizes.png", lambda file: write_sizes(evaluation, file), what="a picture")


def _write_cases(path: Path, evaluation: SegmentationEvaluation, cases: Sequence[SegmentedCase]) -> None:
    header = ["case", "slices", "group", "excluded", "class", "dice", "nsd", "reference", "predicted", "unit"]
    rows: list[list[Any]] = []
    for number, (case, scores) in enumerate(zip(cases, evaluation.cases, strict=True)):
        about = [number, len(case.indices), case.group, int(case.resembles)]
        for place, name in enumerate(evaluation.class_names[1:]):
            values = (scores.dice[place], scores.nsd[place], scores.reference[place], scores.predicted[place])
            rows.append([*about, name, *map(cell, values), scores.unit])
    write_table(path, header, rows)
