"""Reads a plan: its form is checked here, what it names is checked by :mod:`monai_ext.study.preparation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_ext.data.splits.items import SECTIONS
from monai_ext.errors import StudyError
from monai_ext.files import json_or_text, read_json
from monai_ext.study.plan.places import located
from monai_ext.study.plan.problems import Problems, nearest
from monai_ext.study.plan.study_plan import GRAY_LEVELS, Method, Protocol, StudyPlan, Task
from monai_ext.study.plan.values import PlanReader

__all__ = ["PROTOCOLS", "parse_plan", "read_plan"]

PROTOCOLS = ("fine_tuning", "probe", "knn")
_GRID = ("fractions", "per_class", "subsets", "seeds", "folds")
_PLAN = ("name", "description", "methods", "pretraining", "tasks", "overrides", "protocols", *_GRID[:4], "reference")
_KEYS = (*_PLAN, "targets", "forecast_labels", "watts")
_SOURCES = ("bundle", "file", "run")
_METHOD = (*_SOURCES, "overrides", "images_seen", "budgets", "family", "pretraining_data")
_IMAGES = "{images}"
_SET_BY_STUDY = (
    "dataset_dir",
    "splits",
    "fold",
    "section",
    "pretrained",
    "seed",
    "output_dir",
    "bundle_root",
    "resume",
)
_CHOSEN_ON = ("best_metric", "train", "validate")


def read_plan(
    path: str | Path,
    *,
    settings: Sequence[str] = (),
    data: Sequence[str | Path] = (),
    encoders: Sequence[str | Path] = (),
) -> StudyPlan:
    """Read a plan.

    Args:
        path: of the JSON file.
        settings: changes such as ``"tasks::COVID-CT::dataset_dir=/data/covid"``, values being JSON or else text.
        data: folders in which relative paths of data and splits are looked for; the first that has one counts.
        encoders: folders in which relative paths of encoders are looked for.

    Raises:
        StudyError: the file cannot be read, or the plan is wrong; the message lists everything that is.
    """
    path = Path(path).expanduser()
    try:
        content = read_json(path, object_pairs_hook=_refuse_repeated_keys)
    except OSError as error:
        raise StudyError(
            f"The plan {path} cannot be read: {error.strerror}. Plans are in the folder studies."
        ) from error
    except ValueError as error:
        raise StudyError(f"The plan {path} is not JSON as it should be: {error}.") from error
    for setting in settings:
        _apply(content, setting)
    return located(parse_plan(content, name=str(path)), data=data, encoders=encoders)


def parse_plan(content: Any, *, name: str = "plan") -> StudyPlan:
    """Make a plan of its JSON content.

    Raises:
        StudyError: a key is misspelt, missing or of the wrong kind, or nothing would be run; all problems are listed.
    """
    problems = Problems(name)
    reader = PlanReader(problems, "", content, _KEYS)
    methods = [method for key, value in reader.object("methods").items() for method in _methods(problems, key, value)]
    tasks = [_task(problems, key, value, reader.object("overrides")) for key, value in reader.object("tasks").items()]
    pretraining = _pretraining(problems, reader.object("pretraining"))
    names = [method.name for method in methods]
    protocols = [
        _protocol(problems, key, value, reader, names, [task.name for task in tasks])
        for key, value in reader.object("protocols").items()
    ]
    reference = reader.text("reference", "scratch" if "scratch" in names else next(iter(names), "scratch"))
    for part, found in (("methods", methods), ("tasks", tasks), ("protocols", protocols)):
        if not found:
            problems.add(part, "there is none, so the study has no cell.")
    if names and reference not in names:
        problems.add("reference", f"there is no method {reference!r}{nearest(str(reference), names)}.")
    plan = StudyPlan(
        name=reader.text("name", Path(name).stem) or "study",
        description=reader.text("description", "") or "",
        methods=tuple(methods),
        tasks=tuple(tasks),
        protocols=tuple(protocols),
        pretraining=pretraining,
        reference=str(reference),
        targets=reader.fractions("targets", [0.9, 0.8]),
        forecast_labels=reader.wholes("forecast_labels", [40], least=1),
        watts=reader.number("watts", 65.0),
    )
    problems.refuse()
    return plan


def _methods(problems: Problems, name: str, content: Any) -> list[Method]:
    """A method, and the same with each of its smaller budgets."""
    method = _method(problems, name, content)
    place = f"methods::{name}::budgets"
    reader = PlanReader(Problems(""), place, content, _METHOD)
    if not isinstance(content, Mapping) or "budgets" not in content:
        return [method]
    budgets = PlanReader(problems, f"methods::{name}", content, list(content)).wholes("budgets", [], least=1)
    if method.source not in ("bundle", "file"):
        problems.add(place, "only a bundle or a file has smaller budgets.")
    if method.images_seen is None:
        problems.add(place, "smaller budgets need images_seen, the whole budget, beside them.")
    elif any(budget >= method.images_seen for budget in budgets):
        problems.add(place, f"they are smaller than images_seen, {method.images_seen}; received {list(budgets)}.")
    pattern = reader.text("file", "") or ""
    if method.source == "file" and _IMAGES not in pattern:
        problems.add(place, f"the file's name needs {_IMAGES} where the number of images stands; received {pattern!r}.")
    smaller = [
        replace(
            method,
            name=f"{name}, {budget} images",
            value=pattern.replace(_IMAGES, str(budget)) if method.source == "file" else method.value,
            images_seen=budget,
            smaller_budget_of=name,
        )
        for budget in budgets[::-1]
    ]
    return [method, *smaller]


def _method(problems: Problems, name: str, content: Any) -> Method:
    place = f"methods::{name}"
    reader = PlanReader(problems, place, content, _METHOD)
    sources = [source for source in _SOURCES if source in reader.content]
    if len(sources) > 1:
        problems.add(
            place, f"it starts from one of {', '.join(_SOURCES)}, or from none (scratch); {sources} were given."
        )
    if name == GRAY_LEVELS:
        problems.add(place, "this name is that of the trivial predictor, which every study has.")
    source = sources[0] if sources else "scratch"
    overrides = reader.object("overrides")
    if source != "bundle" and overrides:
        problems.add(f"{place}::overrides", "only a pre-training bundle has a config whose values could be other ones.")
    for key in overrides:
        if key.split("::")[0] in ("dataset_dir", "output_dir", "bundle_root", "resume", "images_seen"):
            problems.add(f"{place}::overrides::{key}", "the study sets this itself: see pretraining and images_seen.")
    value, images_seen = (reader.text(source, "") or "") if sources else "", reader.whole("images_seen", None)
    return Method(
        name=name,
        source=source,
        value=value.replace(_IMAGES, str(images_seen)) if source == "file" else value,
        overrides=overrides,
        images_seen=images_seen,
        family=reader.text("family", name) or name,
        pretraining_data=reader.text("pretraining_data", None),
    )


def _pretraining(problems: Problems, content: Mapping[str, Any]) -> dict[str, Any]:
    reader = PlanReader(problems, "pretraining", content, ["dataset_dir", "images_seen", "overrides"])
    return {
        "dataset_dir": reader.text("dataset_dir", None),
        "images_seen": reader.whole("images_seen", None),
        "overrides": reader.object("overrides"),
    }


def _task(problems: Problems, name: str, content: Any, shared: Mapping[str, Any]) -> Task:
    place = f"tasks::{name}"
    reader = PlanReader(problems, place, content, ["bundle", "dataset_dir", "overrides", "splits"])
    bundle = reader.text("bundle", None)
    if not bundle:
        problems.add(place, "it needs a bundle: the name of a classification bundle, or its folder.")
    overrides = {**shared, **reader.object("overrides")}
    _check_overrides(problems, f"{place}::overrides", overrides)
    splits = reader.object("splits")
    divided = PlanReader(problems, f"{place}::splits", splits, ["file", "folds", "test", "validation", "seed", "most"])
    divided.whole("folds", None, least=2)
    divided.whole("seed", 0, least=0)
    most = PlanReader(problems, f"{place}::splits::most", divided.object("most"), SECTIONS)
    for section in SECTIONS:
        most.whole(section, None)
    return Task(name, bundle or "", reader.text("dataset_dir", None), overrides, splits)


def _protocol(
    problems: Problems, name: str, content: Any, plan: PlanReader, methods: Sequence[str], tasks: Sequence[str]
) -> Protocol:
    place = f"protocols::{name}"
    if name not in PROTOCOLS:
        problems.add("protocols", f"there is no protocol {name!r}{nearest(name, PROTOCOLS)}.")
    reader = PlanReader(problems, place, content, ["overrides", "tasks", "methods", *_GRID])
    overrides = reader.object("overrides")
    if overrides and name != "fine_tuning":
        problems.add(f"{place}::overrides", "only fine_tuning runs a config; give a task's overrides in the task.")
    _check_overrides(problems, f"{place}::overrides", overrides)
    fractions = reader.fractions("fractions", plan.fractions("fractions", []))
    per_class = reader.wholes("per_class", plan.wholes("per_class", [], least=1), least=1)
    if not fractions and not per_class:
        problems.add(place, "it has neither fractions nor per_class, so it has no cell.")
    seeds = reader.wholes("seeds", plan.wholes("seeds", [0], least=0), least=0)
    if not seeds:
        problems.add(f"{place}::seeds", "there is none, so it has no cell.")
    folds = reader.wholes("folds", [], least=0) if "folds" in reader.content else None
    return Protocol(
        name=name,
        overrides=overrides,
        fractions=fractions,
        per_class=per_class,
        subsets=reader.whole("subsets", plan.whole("subsets", 1)) or 1,
        seeds=seeds[::-1],
        folds=None if folds is None else folds[::-1],
        tasks=reader.names("tasks", tasks),
        methods=reader.names("methods", methods),
    )


def _check_overrides(problems: Problems, place: str, overrides: Mapping[str, Any]) -> None:
    """Refuse what the study sets, and every way to choose by the test section."""
    for key, value in overrides.items():
        first, last = key.split("::")[0], key.split("::")[-1]
        if first in _SET_BY_STUDY:
            problems.add(f"{place}::{key}", "the study sets this itself, from tasks, splits, methods and seeds.")
        elif first in _CHOSEN_ON and ("test" in str(value).lower() or last in ("section", "splits", "fold")):
            problems.add(f"{place}::{key}", f"choices are made on validation, never by test; received {value!r}.")


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return content


def _apply(content: Any, setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise StudyError(f"A setting is KEY=VALUE, with :: between the levels of the key; received {setting!r}.")
    *parents, last = key.split("::")
    place = content
    for name in parents:
        if not isinstance(place, dict) or not isinstance(place.setdefault(name, {}), dict):
            raise StudyError(f"The setting {setting!r} names no place of the plan: {name!r} holds no keys.")
        place = place[name]
    place[last] = json_or_text(text)
