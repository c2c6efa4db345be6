"""Everything that a plan names is looked at before anything runs: data, bundles, encoders, leaks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ext.data.phantoms.labelled import embedded_labelled_sample
from monai_ext.errors import DatasetError, SplitError, StudyError
from monai_ext.study.cells.bundles import BundleConfig, find_bundle
from monai_ext.study.cells.cell import Cell
from monai_ext.study.cells.encoders import Encoder, find_encoders
from monai_ext.study.cells.expansion import budget, expand_cells, pretraining_cells, sizes_of
from monai_ext.study.plan import Method, StudyPlan, Task
from monai_ext.study.plan.problems import Problems
from monai_ext.study.protocols.pretraining import encoder_path
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import record_path
from monai_ext.study.tasks import PreparedTask, prepare_task, shared_files

__all__ = ["PreparedStudy", "prepare"]


@dataclass
class PreparedStudy:
    """A study that can be run.

    Attributes:
        plan: of the study.
        folder: of the study.
        tasks: by name.
        configs: by task and protocol.
        pretraining: cells of encoders that the study makes.
        warnings: what cannot be made sure of.
    """

    plan: StudyPlan
    folder: StudyFolder
    tasks: dict[str, PreparedTask]
    configs: dict[tuple[str, str], BundleConfig]
    pretraining: list[Cell]
    warnings: list[str] = field(default_factory=list)

    def encoders(self) -> dict[str, Encoder]:
        """Encoders that are there, by method."""
        made = {
            cell.method: encoder_path(self.folder, cell.name)
            for cell in self.pretraining
            if record_path(self.folder.records, cell.name).is_file() and encoder_path(self.folder, cell.name).is_file()
        }
        methods = {method.name: method for method in self.plan.methods}
        return find_encoders(methods, folder=self.folder.encoders, pretrained=made)

    def cells(self) -> list[Cell]:
        """Cells whose encoders are there."""
        return expand_cells(self.plan, self.tasks, self.configs, self.encoders())

    def expected(self) -> list[Cell]:
        """All cells, those of encoders that are still to come with their pre-training's name instead of a hash."""
        pending = {cell.method: Encoder(Path(), f"of {cell.name}") for cell in self.pretraining}
        return expand_cells(self.plan, self.tasks, self.configs, pending | self.encoders())


def prepare(plan: StudyPlan, folder: StudyFolder) -> PreparedStudy:
    """Look at everything that a plan names, and divide the data.

    Raises:
        StudyError: with everything that is wrong: missing data, bundles or encoders, overrides that no config has, data
            that cannot be divided as planned, test images among the data of a pre-training.
    """
    problems = Problems(plan.name)
    configs, pretraining_configs = _configs(plan, problems)
    tasks: dict[str, PreparedTask] = {}
    for task in plan.tasks:
        config = next((configs[key] for key in configs if key[0] == task.name), None)
        if config is not None:
            made = problems.try_to(
                f"tasks::{task.name}",
                lambda task=task, config=config: _prepare_task(plan, task, config, folder),  # type: ignore[misc]
                StudyError,
                SplitError,
                DatasetError,
            )
            if made is not None:
                tasks[task.name] = made
                _check_folds(plan, made, problems)
    data = {
        method.name: problems.try_to(f"methods::{method.name}", lambda: _pretraining_data(plan), StudyError)
        for method in plan.methods
        if method.source == "bundle"
    }
    for method in plan.methods:
        if method.source in ("file", "run"):
            problems.try_to(
                f"methods::{method.name}",
                lambda method=method: find_encoders({method.name: method}, folder=folder.encoders, pretrained={}),  # type: ignore[misc]
                StudyError,
            )
    warnings = _check_leaks(plan, tasks, problems)
    problems.refuse()
    cells = pretraining_cells(plan, pretraining_configs, data)
    return PreparedStudy(plan, folder, tasks, configs, cells, warnings + _unequal_budgets(plan))


def _configs(
    plan: StudyPlan, problems: Problems
) -> tuple[dict[tuple[str, str], BundleConfig], dict[str, BundleConfig]]:
    found: dict[tuple[str, str], BundleConfig] = {}
    for protocol in plan.protocols:
        for task in plan.tasks_of(protocol):
            overrides = {**task.overrides, **protocol.overrides}
            config = _config(f"tasks::{task.name}", task.bundle, overrides, problems)
            if config is not None:
                found[task.name, protocol.name] = config
    methods: dict[str, BundleConfig] = {}
    for method in plan.methods:
        if method.source == "bundle":
            overrides = {**plan.pretraining["overrides"], **method.overrides}
            config = _config(f"methods::{method.name}", method.value, overrides, problems)
            if config is not None:
                methods[method.name] = config
    return found, methods


def _config(place: str, bundle: str, overrides: Mapping[str, Any], problems: Problems) -> BundleConfig | None:
    root = problems.try_to(place, lambda: find_bundle(bundle), StudyError)
    if root is None:
        return None
    config = BundleConfig(root, overrides)
    for sentence in config.problems():
        if f"{place}: {sentence}." not in problems.found:
            problems.add(place, f"{sentence}.")
    return config


def _prepare_task(plan: StudyPlan, task: Task, config: BundleConfig, folder: StudyFolder) -> PreparedTask:
    protocols = [protocol for protocol in plan.protocols if task in plan.tasks_of(protocol)]
    path = _labelled_data(task, config)
    if not path.exists():
        raise StudyError(f"the labelled data {path} are not there (--data names folders to look in).")
    return prepare_task(
        task,
        dataset_dir=path.resolve(),
        class_names=config.value("class_names"),
        positive_class=config.value("positive_class"),
        columns=config.value("columns"),
        sizes=list(dict.fromkeys(size for protocol in protocols for size in sizes_of(protocol))),
        subsets=max(protocol.subsets for protocol in protocols),
        folder=folder.splits,
    )


def _labelled_data(task: Task, config: BundleConfig) -> Path:
    """The data of a task; the embedded phantoms with the bundle's classes where it names none."""
    if task.dataset_dir is not None:
        return Path(task.dataset_dir).expanduser()
    return embedded_labelled_sample(list(config.value("class_names")))


def _check_folds(plan: StudyPlan, task: PreparedTask, problems: Problems) -> None:
    for protocol in plan.protocols:
        beyond = [fold for fold in protocol.folds or () if fold >= task.folds]
        if beyond and task.task in plan.tasks_of(protocol):
            problems.add(
                f"protocols::{protocol.name}::folds",
                f"{task.task.name} has the folds 0 to {task.folds - 1}, and {beyond} were asked for.",
            )


def _pretraining_data(plan: StudyPlan) -> dict[str, Any]:
    dataset_dir = plan.pretraining["dataset_dir"]
    if dataset_dir is None:
        return {"dataset_dir": None, "fingerprint": "embedded sample"}
    path = Path(dataset_dir).expanduser().resolve()
    if not path.exists():
        raise StudyError(f"the pre-training data {path} are not there (--data names folders to look in).")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\n".encode())
    return {"dataset_dir": str(path), "fingerprint": digest.hexdigest()}


def _check_leaks(plan: StudyPlan, tasks: Mapping[str, PreparedTask], problems: Problems) -> list[str]:
    """Refuse test images among pre-training data; say for which encoders it is not known what they saw."""
    seen: dict[str, list[str]] = {}
    unknown = []
    for method in plan.methods:
        data = _data_of(plan, method)
        if data is not None:
            seen.setdefault(data, []).append(method.name)
        elif method.source in ("file", "run"):
            unknown.append(method.name)
    for data, methods in seen.items():
        if not Path(data).expanduser().exists():
            problems.add(
                f"methods::{methods[0]}",
                f"the pre-training data {data} are not there (--data names folders to look in).",
            )
            continue
        for task in tasks.values():
            shared = shared_files(_test_files(task), Path(data).expanduser().resolve())
            if shared:
                problems.add(
                    f"tasks::{task.task.name}",
                    f"{len(shared)} of its test images are among the pre-training data {data} of {', '.join(methods)},"
                    f" such as {shared[0].name}: results would be too good. Take them out of the pre-training data.",
                )
    if not unknown:
        return []
    return [
        f"It is not known what the encoders of {', '.join(unknown)} were trained on: name it as pretraining_data, so"
        " that test patients among it are found."
    ]


def _data_of(plan: StudyPlan, method: Method) -> str | None:
    if method.source == "bundle":
        return plan.pretraining["dataset_dir"]
    return method.pretraining_data


def _test_files(task: PreparedTask) -> list[Path]:
    if task.items.kind in ("slice store", "MedMNIST"):
        return [path for path in [task.dataset_dir] if path.is_file()]
    places = {int(place) for fold in range(task.folds) for place in task.section("test", fold=fold)}
    return [task.root / task.items.ids[place] for place in sorted(places)]


def _unequal_budgets(plan: StudyPlan) -> list[str]:
    """Methods of different families are compared at equal budgets, or it is said that they are not."""
    largest: dict[str, int] = {}
    for method in plan.methods:
        seen = budget(plan, method) if method.source == "bundle" else method.images_seen
        if method.source != "scratch" and seen:
            largest[method.family] = max(seen, largest.get(method.family, 0))
    if len(set(largest.values())) < 2:
        return []
    budgets = ", ".join(f"{family} {seen}" for family, seen in largest.items())
    return [f"Budgets differ, so that methods are not compared on equal terms (images seen: {budgets})."]
