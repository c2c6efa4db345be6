"""A picture of a segmentation's result: what was marked against what there is."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from monai_ext.metrics.segmentation import SegmentationEvaluation

__all__ = ["write_sizes"]

_DPI = 120


def write_sizes(evaluation: SegmentationEvaluation, path: str | Path | BinaryIO) -> None:
    """Predicted against true sizes, a point a case and class, as a PNG.

    Args:
        evaluation: what to show.
        path: of the PNG file, or a binary file that is open.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 5), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(evaluation.class_names[1:]):
        there = np.array([case.reference[place] for case in evaluation.cases])
        marked = np.array([case.predicted[place] for case in evaluation.cases])
        axes.scatter(there, marked, s=18, alpha=0.7, label=name)
    largest = max(float(max(case.reference.max(), case.predicted.max())) for case in evaluation.cases) or 1.0
    axes.plot([0, largest], [0, largest], color="0.6", linestyle="--", linewidth=1, label="equal")
    unit = evaluation.cases[0].unit
    axes.set(xlabel=f"in the mask ({unit})", ylabel=f"predicted ({unit})")
    error = evaluation.metrics.get("volume_error")
    axes.set_title("" if error is None else f"relative error {error}", fontsize=9)
    axes.legend(fontsize=8)
    figure.savefig(path, format="png")
