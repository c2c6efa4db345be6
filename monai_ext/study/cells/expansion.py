"""From a plan and its prepared tasks to cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import monai_ext
from monai_ext.study.cells.bundles import BundleConfig
from monai_ext.study.cells.cell import Cell
from monai_ext.study.cells.encoders import Encoder
from monai_ext.study.plan import Method, Protocol, StudyPlan
from monai_ext.study.plan.study_plan import GRAY_LEVELS
from monai_ext.study.tasks import PreparedTask, size_name

__all__ = ["PROTOCOL_VERSION", "expand_cells", "pretraining_cells", "sizes_of"]

PROTOCOL_VERSION = 1
"""Raised whenever a protocol gives other numbers for the same inputs: records of before are then not used again."""


def pretraining_cells(plan: StudyPlan, configs: Mapping[str, BundleConfig], data: Mapping[str, Any]) -> list[Cell]:
    """One cell for every method that the study pre-trains.

    Args:
        plan: of the study.
        configs: of these methods' bundles.
        data: by method, ``dataset_dir`` and ``fingerprint`` of the data.
    """
    cells = []
    for method in plan.methods:
        if method.source != "bundle":
            continue
        config = configs[method.name]
        inputs = {
            **_versions(),
            "protocol": "pretraining",
            "bundle": config.name,
            "config_sha256": config.sha256,
            "images_seen": budget(plan, method),
            "data_fingerprint": data[method.name]["fingerprint"],
            "seed": config.content.get("seed", 0),
        }
        paths = {
            "bundle": str(config.root),
            "overrides": dict(config.overrides),
            "dataset_dir": data[method.name]["dataset_dir"],
        }
        cells.append(Cell("pretraining", method.name, "", "", 0, 0, int(inputs["seed"]), inputs, paths))
    return cells


def expand_cells(
    plan: StudyPlan,
    tasks: Mapping[str, PreparedTask],
    configs: Mapping[tuple[str, str], BundleConfig],
    encoders: Mapping[str, Encoder],
) -> list[Cell]:
    """All cells of the plan whose encoders are there. Two methods with one encoder have cells of the same name.

    Args:
        plan: of the study.
        tasks: prepared, by name.
        configs: by task and protocol.
        encoders: by method; methods that are missing have no cells yet.
    """
    cells: list[Cell] = []
    gray: dict[str, Cell] = {}
    for protocol in plan.protocols:
        for task in plan.tasks_of(protocol):
            prepared, config = tasks[task.name], configs[task.name, protocol.name]
            for method in plan.methods_of(protocol):
                if method.name in encoders:
                    cells += _cells(protocol, method, encoders[method.name], prepared, config)
            gray |= {cell.name: cell for cell in _gray_cells(protocol, prepared, config)}
    return cells + list(gray.values())


def sizes_of(protocol: Protocol) -> list[tuple[float, bool]]:
    """Sizes of training sets, each with whether it is a number a class."""
    fractions: list[tuple[float, bool]] = [(fraction, False) for fraction in protocol.fractions]
    return fractions + [(count, True) for count in protocol.per_class]


def budget(plan: StudyPlan, method: Method) -> int | None:
    """Images that a method's pre-training sees."""
    return method.images_seen or plan.pretraining["images_seen"]


def _ends(protocol: Protocol) -> list[tuple[float, bool]]:
    """The largest and the smallest size, at which smaller budgets are judged."""
    fractions = [size for size in sizes_of(protocol) if not size[1]] or sizes_of(protocol)
    return fractions if len(fractions) < 2 else [fractions[0], fractions[-1]]


def _places(protocol: Protocol, task: PreparedTask, sizes: list[tuple[float, bool]]) -> Iterator[tuple[str, int, int]]:
    folds = range(task.folds) if protocol.folds is None else protocol.folds
    for size, per_class in sizes:
        name = size_name(size, per_class=per_class)
        for fold in folds:
            for subset in range(1 if name == "training" else protocol.subsets):
                yield name, fold, subset


def _cells(
    protocol: Protocol, method: Method, encoder: Encoder, task: PreparedTask, config: BundleConfig
) -> Iterator[Cell]:
    """A probe on weights that no seed decides on is the same for all seeds, so it is one cell."""
    seeds = protocol.seeds if encoder.is_random or protocol.name == "fine_tuning" else protocol.seeds[:1]
    sizes = _ends(protocol) if method.smaller_budget_of else sizes_of(protocol)
    for size, fold, subset in _places(protocol, task, sizes):
        for seed in seeds:
            inputs = {
                **_versions(),
                **_task_inputs(task, config, size=size, fold=fold, subset=subset),
                "protocol": protocol.name,
                "encoder_sha256": encoder.sha256,
                "seed": seed,
            }
            paths = _paths(task, config, subset) | {"encoder": None if encoder.path is None else str(encoder.path)}
            yield Cell(protocol.name, method.name, task.task.name, size, fold, subset, seed, inputs, paths)


def _gray_cells(protocol: Protocol, task: PreparedTask, config: BundleConfig) -> Iterator[Cell]:
    plain = BundleConfig(config.root, task.task.overrides)
    for size, fold, subset in _places(protocol, task, sizes_of(protocol)):
        inputs = {
            **_versions(),
            "protocol": "gray_levels",
            "data_fingerprint": task.items.content_hash,
            "classes": list(task.classes),
            "window": plain.value("window"),
            "split_hash": task.split_hash(size, fold=fold, subset=subset),
            "size": size,
            "fold": fold,
            "subset": subset,
        }
        paths = _paths(task, plain, subset)
        yield Cell("gray_levels", GRAY_LEVELS, task.task.name, size, fold, subset, 0, inputs, paths)


def _task_inputs(task: PreparedTask, config: BundleConfig, *, size: str, fold: int, subset: int) -> dict[str, Any]:
    return {
        "bundle": config.name,
        "config_sha256": config.sha256,
        "data_fingerprint": task.items.content_hash,
        "split_hash": task.split_hash(size, fold=fold, subset=subset),
        "size": size,
        "fold": fold,
        "subset": subset,
    }


def _paths(task: PreparedTask, config: BundleConfig, subset: int) -> dict[str, Any]:
    return {
        "bundle": str(config.root),
        "overrides": dict(config.overrides),
        "dataset_dir": str(task.dataset_dir),
        "splits": str(Path(task.files[subset]).resolve()),
    }


def _versions() -> dict[str, Any]:
    return {"monai_ext": monai_ext.__version__, "protocol_version": PROTOCOL_VERSION}
