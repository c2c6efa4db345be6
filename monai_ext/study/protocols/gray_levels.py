"""The trivial predictor: a probe on gray-level statistics and image size, which a network has to beat."""

from __future__ import annotations

from monai_ext.study.cells.cell import Cell
from monai_ext.study.protocols.features import gray_features
from monai_ext.study.protocols.probe import probed
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["compute"]


def compute(cell: Cell, *, task: PreparedTask, folder: StudyFolder, device: str | None) -> tuple[dict, dict]:
    """Results of a cell of the trivial predictor; the device does not matter."""
    return probed(gray_features(cell, task=task, folder=folder), cell=cell, task=task), {}
