"""The parts of a study's plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["GRAY_LEVELS", "Method", "Protocol", "StudyPlan", "Task"]

GRAY_LEVELS = "gray levels"
"""Name of the trivial predictor that stands beside the methods in every study."""


@dataclass(frozen=True)
class Method:
    """How a network starts.

    Attributes:
        name: in tables and plots.
        source: ``"scratch"``, ``"bundle"`` (a pre-training that the study runs), ``"file"`` (weights) or ``"run"`` (of
            MLflow).
        value: the bundle's name or folder, the file, or ``runs:/<id>``; empty for scratch.
        overrides: ids of the pre-training bundle's config with other values.
        images_seen: budget of the pre-training; for files and runs what is told of them, None where it is not known.
        family: methods of one family that differ in ``images_seen`` are one budget curve; the name when omitted.
        pretraining_data: for files and runs, the data they saw, so that test patients among them are found.
        smaller_budget_of: name of the method of which this is the same with fewer images; it stands in the budget curve
            and is compared with nothing else. Empty for methods of their own.
    """

    name: str
    source: str = "scratch"
    value: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    images_seen: int | None = None
    family: str = ""
    pretraining_data: str | None = None
    smaller_budget_of: str = ""


@dataclass(frozen=True)
class Task:
    """A classification bundle on data.

    Attributes:
        name: in tables and plots.
        bundle: name or folder of the classification bundle.
        dataset_dir: labelled data; None for the bundle's embedded phantoms.
        overrides: ids of the bundle's config with other values, for all protocols.
        splits: how its patients are divided, see :func:`~monai_ext.study.tasks.divide`.
    """

    name: str
    bundle: str
    dataset_dir: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How a start is judged on a task, and on which part of the study's grid.

    Attributes:
        name: ``"fine_tuning"``, ``"probe"`` or ``"knn"``.
        overrides: fine-tuning: ids of the classification bundle's config with other values.
        fractions: of the labelled training images of every class; 1 for all.
        per_class: numbers of labelled images of every class.
        subsets: how often each smaller training set is drawn.
        seeds: of initial weights and order.
        folds: which folds; None for all.
        tasks, methods: names; None for all.
    """

    name: str
    overrides: Mapping[str, Any]
    fractions: tuple[float, ...]
    per_class: tuple[int, ...]
    subsets: int
    seeds: tuple[int, ...]
    folds: tuple[int, ...] | None = None
    tasks: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StudyPlan:
    """A complete plan.

    Attributes:
        name: of the study.
        description: a sentence for the report.
        methods, tasks, protocols: what is combined.
        pretraining: ``dataset_dir``, ``images_seen`` and ``overrides`` that all pre-training bundles share.
        reference: name of the method that others are compared with.
        targets: scores of the first metric whose labels a class are looked up.
        forecast_labels: more labels a class to forecast for.
        watts: assumed power draw of one cell's worker, for the energy estimate.
    """

    name: str
    description: str
    methods: tuple[Method, ...]
    tasks: tuple[Task, ...]
    protocols: tuple[Protocol, ...]
    pretraining: Mapping[str, Any]
    reference: str
    targets: tuple[float, ...]
    forecast_labels: tuple[int, ...]
    watts: float

    def methods_of(self, protocol: Protocol) -> tuple[Method, ...]:
        """The methods that a protocol is used with, and their smaller budgets unless it trains networks."""
        of = {method.name: method.smaller_budget_of or method.name for method in self.methods}
        return tuple(
            method
            for method in self.methods
            if (protocol.methods is None or {method.name, of[method.name]} & set(protocol.methods))
            and not (method.smaller_budget_of and protocol.name == "fine_tuning")
        )

    def tasks_of(self, protocol: Protocol) -> tuple[Task, ...]:
        """The tasks that a protocol is used on."""
        return tuple(task for task in self.tasks if protocol.tasks is None or task.name in protocol.tasks)
