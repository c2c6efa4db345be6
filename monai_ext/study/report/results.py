"""Records of a study, scored and put in the order of its plan."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from monai_ext.errors import StudyError
from monai_ext.files import read_json
from monai_ext.metrics.class_predictions import check_predictions
from monai_ext.study.plan.study_plan import GRAY_LEVELS
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.index import PlannedCell, read_index
from monai_ext.study.records.record import Record
from monai_ext.study.statistics import Arm, Comparison, ScoredCell, compare, correct_comparisons
from monai_ext.study.statistics.scored_cells import resamples_for, score_cell

__all__ = ["Panel", "StudyResults", "load_results"]

logger = logging.getLogger(__name__)

PROTOCOL_NAMES = {"fine_tuning": "fine-tuning", "probe": "linear probe", "knn": "k-NN", "gray_levels": GRAY_LEVELS}


@dataclass(frozen=True)
class Panel:
    """Results of one protocol on one task.

    Attributes:
        protocol, task: which.
        sizes: names of the training sets, smallest first.
        labels: mean labels a class of each size.
        methods: in the order of the plan, gray levels last.
        arms: by size and method, also of smaller budgets; what is not there yet is missing.
    """

    protocol: str
    task: str
    sizes: tuple[str, ...]
    labels: Mapping[str, float]
    methods: tuple[str, ...]
    arms: Mapping[tuple[str, str], Arm] = field(repr=False)

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.task}, {PROTOCOL_NAMES[self.protocol]}"

    def size_title(self, size: str) -> str:
        """A size for people.

        >>> Panel("probe", "CT", (), {"0.1": 12.0}, (), {}).size_title("0.1")
        '10 % (12 a class)'
        """
        if size.endswith("_per_class"):
            return f"{size.removesuffix('_per_class')} a class"
        percent = 100.0 if size == "training" else 100 * float(size)
        return f"{percent:g} % ({self.labels[size]:.0f} a class)"

    def best(self, size: str, metric: str = "auc") -> str | None:
        """The method with the highest score, gray levels left out."""
        scored = {
            method: self.arms[size, method].estimate(metric).value
            for method in self.methods
            if method != GRAY_LEVELS and (size, method) in self.arms
        }
        return max(scored, key=lambda method: scored[method]) if scored else None


@dataclass
class StudyResults:
    """Everything that the report says rests on this.

    Attributes:
        plan: content of the plan.
        panels: one for each protocol and task.
        records: of the plan's cells, predictions left out.
        missing: number of cells without record.
        failed: reasons, by cell.
        excluded_panels: the same without test images that resemble training images; empty where there are none.
    """

    plan: dict[str, Any]
    panels: list[Panel]
    records: list[Record] = field(repr=False)
    missing: int
    failed: dict[str, str]
    without_near_duplicates: list[Panel] = field(default_factory=list, repr=False)

    @property
    def reference(self) -> str:
        """Method that others are compared with."""
        return str(self.plan["reference"])

    @cached_property
    def against_reference(self) -> dict[tuple[str, str, str, str], Comparison]:
        """By protocol, task, size and method; corrected over all of them."""
        return self._compared(lambda panel, size: self.reference)

    @cached_property
    def against_best(self) -> dict[tuple[str, str, str, str], Comparison]:
        """Each method minus the best other one; corrected over all of them."""
        return self._compared(lambda panel, size: panel.best(size))

    @cached_property
    def against_gray(self) -> dict[tuple[str, str, str, str], Comparison]:
        """Each method minus the trivial predictor; corrected over all of them."""
        return self._compared(lambda panel, size: GRAY_LEVELS)

    def _compared(self, other_of: Any) -> dict[tuple[str, str, str, str], Comparison]:
        found = {}
        for panel in self.panels:
            for size in panel.sizes:
                other = other_of(panel, size)
                for method in panel.methods:
                    pair = (size, method), (size, other)
                    if method in (other, GRAY_LEVELS) or not all(key in panel.arms for key in pair):
                        continue
                    comparison = _compare(panel.arms[pair[0]], panel.arms[pair[1]])
                    if comparison is not None:
                        found[panel.protocol, panel.task, size, method] = comparison
        return dict(zip(found, correct_comparisons(list(found.values())), strict=True))


def load_results(folder: StudyFolder, *, progress: Callable[[int, int], None] | None = None) -> StudyResults:
    """Read and score the records of a study.

    Args:
        folder: of the study.
        progress: called after each record with the number of those scored by now, and of all.

    Raises:
        StudyError: the folder holds no study, no cell is done yet, or a record was edited.
    """
    index = read_index(folder)
    there = folder.names()
    try:
        plan = read_json(folder.path / "plan.json")
    except (OSError, ValueError) as error:
        raise StudyError(f"{folder.path} has no plan.json: run the study again, which keeps its records.") from error
    scores = _Scores()
    cells: dict[PlannedCell, tuple[ScoredCell, ScoredCell | None]] = {}
    labels: dict[tuple[str, str], list[float]] = {}
    records: dict[str, Record] = {}
    made = [cell for cell in index if cell.name in there]
    for number, cell in enumerate(made, start=1):
        record = folder.read(cell.name)
        if cell.protocol != "pretraining":
            cells[cell] = scores.of(cell, record)
            labels.setdefault((cell.task, cell.size), []).append(float(record.results["labels_per_class"]))
        light = {key: value for key, value in record.results.items() if key != "predictions"}
        named = {**record.cell, "method": cell.method}  # a changed plan may have another name for the same encoder
        records[cell.name] = Record(record.name, named, record.inputs, light, record.measured)
        if progress is not None:
            progress(number, len(made))
    if not cells:
        raise StudyError(f"No cell of the study in {folder.path} has a record yet: there is nothing to report.")
    mean_labels = {key: float(np.mean(values)) for key, values in labels.items()}
    all_cells = {cell: scored[0] for cell, scored in cells.items()}
    rest = {cell: scored[1] for cell, scored in cells.items() if scored[1] is not None}
    return StudyResults(
        plan=plan,
        panels=_panels(plan, all_cells, mean_labels),
        records=list(records.values()),
        missing=len({cell.name for cell in index} - there),
        failed={str(f.get("cell", name)): str(f.get("error")) for name, f in folder.failed().items()},
        without_near_duplicates=_panels(plan, rest, mean_labels) if rest else [],
    )


class _Scores:
    """Scores cells; those with the same test set share their resamples."""

    def __init__(self) -> None:
        self._weights: dict[str, np.ndarray] = {}

    def of(self, cell: PlannedCell, record: Record) -> tuple[ScoredCell, ScoredCell | None]:
        """All test images, and those that resemble no training image (None where all do not, or a class is lost)."""
        predicted = record.results["predictions"]
        predictions = check_predictions(
            predicted["probabilities"],
            predicted["labels"],
            class_names=record.results["class_names"],
            positive_class=record.results["positive_class"],
            groups=predicted["groups"],
        )
        name = str(record.results["test_set"])
        everything = self._score(cell, record, predictions, name)
        if not predicted["near_duplicates"]:
            return everything, None
        keep = np.ones(len(predictions.labels), dtype=bool)
        keep[predicted["near_duplicates"]] = False
        try:
            return everything, self._score(cell, record, predictions.part(keep), f"{name} without near duplicates")
        except ValueError as error:
            logger.info("%s is not judged without near duplicates: %s", cell.name, error)
            return everything, None

    def _score(self, cell: PlannedCell, record: Record, predictions: Any, test_set: str) -> ScoredCell:
        if test_set not in self._weights:
            self._weights[test_set] = resamples_for(predictions, test_set=test_set)
        return score_cell(
            predictions,
            self._weights[test_set],
            fold=cell.fold,
            repeat=(cell.subset, cell.seed),
            n_train=int(record.results["n_training"]),
            test_set=test_set,
        )


def _panels(
    plan: Mapping[str, Any], cells: Mapping[PlannedCell, ScoredCell], labels: Mapping[tuple[str, str], float]
) -> list[Panel]:
    arms: dict[tuple[str, str, str, str], list[ScoredCell]] = {}
    for cell, scored in cells.items():
        arms.setdefault((cell.protocol, cell.task, cell.size, cell.method), []).append(scored)
    methods = [method["name"] for method in plan["methods"] if not method.get("smaller_budget_of")]
    panels = []
    for protocol in (entry["name"] for entry in plan["protocols"]):
        for task in (entry["name"] for entry in plan["tasks"]):
            own = {(s, m): Arm(tuple(c)) for (p, t, s, m), c in arms.items() if (p, t) == (protocol, task)}
            sizes = sorted({size for size, _ in own}, key=lambda size: (labels[task, size], size))
            for size in sizes:
                trivial = arms.get(("gray_levels", task, size, GRAY_LEVELS))
                if trivial:
                    own[size, GRAY_LEVELS] = Arm(tuple(trivial))
            there = [m for m in [*methods, GRAY_LEVELS] if any(method == m for _, method in own)]
            if sizes:
                of_task = {size: labels[task, size] for size in sizes}
                panels.append(Panel(protocol, task, tuple(sizes), of_task, tuple(there), own))
    return panels


def _compare(first: Arm, second: Arm) -> Comparison | None:
    """None where the two have no cell in common, as in a study that is still running."""
    return compare(first, second) if first.keys & second.keys else None
