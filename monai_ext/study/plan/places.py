"""Where the data and encoders of a plan lie, so that a plan can be run elsewhere without being edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from monai_ext.study.plan.study_plan import Method, StudyPlan, Task

__all__ = ["located"]


def located(plan: StudyPlan, *, data: Sequence[str | Path] = (), encoders: Sequence[str | Path] = ()) -> StudyPlan:
    """The plan with relative paths replaced by those in the first folder that has them.

    Without folders, and for what none of them has, paths stay relative to the working directory.

    Args:
        plan: as read.
        data: folders of ``dataset_dir``, ``pretraining_data`` and files of splits.
        encoders: folders of encoders' files.
    """

    def find(path: str | None) -> str | None:
        return path if path is None else _find(path, data)

    def method(entry: Method) -> Method:
        value = _find(entry.value, encoders) if entry.source == "file" else entry.value
        return replace(entry, value=value, pretraining_data=find(entry.pretraining_data))

    def task(entry: Task) -> Task:
        splits = dict(entry.splits)
        if splits.get("file"):
            splits["file"] = find(str(splits["file"]))
        return replace(entry, dataset_dir=find(entry.dataset_dir), splits=splits)

    return replace(
        plan,
        methods=tuple(map(method, plan.methods)),
        tasks=tuple(map(task, plan.tasks)),
        pretraining={**plan.pretraining, "dataset_dir": find(plan.pretraining["dataset_dir"])},
    )


def _find(path: str, folders: Sequence[str | Path]) -> str:
    if Path(path).expanduser().is_absolute():
        return path
    places = [Path(folder).expanduser() / path for folder in folders]
    return str(next((place for place in places if place.exists()), path))
