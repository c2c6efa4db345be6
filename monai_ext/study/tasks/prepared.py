"""A task whose data were opened, divided, and whose splits were written for all cells to use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.labelled.images import LabelledImages
from monai_ext.data.labelled.labelled_sections import open_labelled_images
from monai_ext.data.labelled.labels import open_labelled
from monai_ext.data.labelled.sections import Division
from monai_ext.data.pseudonyms import group_pseudonyms
from monai_ext.data.splits.items import SECTIONS, SplitSource
from monai_ext.data.splits.splits import Splits
from monai_ext.errors import StudyError
from monai_ext.study.plan import Task
from monai_ext.study.tasks.division import divide, reduce_all

__all__ = ["PreparedTask", "TestSet", "prepare_task"]


@dataclass(frozen=True)
class TestSet:
    """The test images of a fold; nothing of it is known to training.

    Attributes:
        places: positions of the items, in order.
        labels: (N,) classes.
        ids: pseudonyms of the images.
        groups: pseudonyms of the patients.
        near_duplicates: numbers of those that resemble an image of training or validation.
        name: hash of the images and labels.
    """

    __test__ = False  # pytest takes every Test... for tests

    places: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    near_duplicates: tuple[int, ...]
    name: str


@dataclass(frozen=True)
class PreparedTask:
    """A task with its divided data.

    Attributes:
        task: as planned.
        items: all items, ungrouped relatives as the data has them.
        root: folder of the data.
        classes: names of the classes in the order of labels.
        positive_class: of two classes, the one that is looked for.
        numbers: (N,) class of every item.
        groups: of every item, relatives joined.
        splits: of every subset.
        files: splits files of every subset.
        dataset_dir: path of the data.
        columns: names of columns of its table that differ.
    """

    task: Task
    items: SplitSource
    root: Path
    classes: tuple[str, ...]
    positive_class: str | None
    numbers: np.ndarray = field(repr=False)
    groups: tuple[str, ...] = field(repr=False)
    splits: tuple[Splits, ...] = field(repr=False)
    files: tuple[Path, ...]
    dataset_dir: Path
    columns: Mapping[str, str | None] | None = None

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(self.splits[0].folds)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.items.ids)}

    def section(self, name: str, *, fold: int, subset: int = 0) -> np.ndarray:
        """Positions of the items of a section, in order."""
        ids = self.splits[subset].folds[fold].section(name)
        return np.array(sorted(self._places[item] for item in ids), dtype=np.int64)

    def labels_per_class(self, section: str, *, fold: int, subset: int = 0) -> float:
        """Mean number of training images a class."""
        return len(self.splits[subset].folds[fold].section(section)) / len(self.classes)

    def test_set(self, fold: int) -> TestSet:
        """The test images of a fold."""
        if fold not in self._test_sets:
            self._test_sets[fold] = self._make_test_set(fold)
        return self._test_sets[fold]

    @cached_property
    def _test_sets(self) -> dict[int, TestSet]:
        return {}

    def _make_test_set(self, fold: int) -> TestSet:
        places = self.section("test", fold=fold)
        data = open_labelled(self.dataset_dir, columns=self.columns)
        near_duplicates = Division(data, splits=self.files[0], fold=fold).resembling_earlier("test")
        content = [self.items.content_hash, places.tolist(), self.numbers[places].tolist()]
        return TestSet(
            places=places,
            labels=self.numbers[places],
            ids=group_pseudonyms(f"{self.items.name}\0image\0{self.items.ids[place]}" for place in places),
            groups=replace(self.items, groups=self.groups).pseudonyms([int(place) for place in places]),
            near_duplicates=tuple(number for number, place in enumerate(places) if place in near_duplicates),
            name=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        )

    @cached_property
    def used(self) -> np.ndarray:
        """Positions of the items that are in any section of any fold, in order; the others are never looked at."""
        folds = [fold for splits in self.splits[:1] for fold in splits.folds]
        ids = {item for fold in folds for name in SECTIONS for item in fold.section(name)}
        return np.array(sorted(self._places[item] for item in ids), dtype=np.int64)

    def split_hash(self, section: str, *, fold: int, subset: int) -> str:
        """Of the items that a cell trains on, chooses by and is tested on."""
        key = (section, fold, subset)
        if key not in self._split_hashes:
            content = [
                self.section(name, fold=fold, subset=subset).tolist() for name in (section, "validation", "test")
            ]
            self._split_hashes[key] = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return self._split_hashes[key]

    @cached_property
    def _split_hashes(self) -> dict[tuple[str, int, int], str]:
        return {}

    def open_images(self, *, window: Any) -> LabelledImages:
        """All images in the order of the items, each at its own size."""
        return open_labelled_images(
            self.dataset_dir, class_names=_named(self), section="all", window=window, columns=self.columns
        )


def _named(task: PreparedTask) -> dict[str, str]:
    labels = sorted(set(zip(task.numbers.tolist(), task.items.labels, strict=True)))
    return {label: task.classes[number] for number, label in labels}


def prepare_task(
    task: Task,
    *,
    dataset_dir: Path,
    class_names: Sequence[str] | Mapping[str, str],
    positive_class: str | None,
    columns: Mapping[str, str | None] | None,
    sizes: Sequence[tuple[float, bool]],
    subsets: int,
    folder: Path,
) -> PreparedTask:
    """Open and divide a task's data, and write the splits of every subset.

    Args:
        task: as planned.
        dataset_dir: of the labelled data.
        class_names, positive_class, columns: as the bundle's config has them.
        sizes: of training sets: a fraction, or a number a class (then True).
        subsets: how often smaller training sets are drawn.
        folder: of the splits files.

    Raises:
        DatasetError, SplitError, StudyError: the data cannot be used or divided so.
    """
    data = open_labelled(dataset_dir, columns=columns)
    items, root = data.items, data.place.root
    names = dict(class_names) if isinstance(class_names, Mapping) else {name: name for name in class_names}
    unknown = sorted(set(items.labels) - set(names))
    if unknown:
        raise StudyError(
            f"{items.name} has labels that are not among the classes {', '.join(names)}: {', '.join(unknown[:5])}."
            " Name the classes in the task's overrides: class_names."
        )
    groups = data.related.groups
    splits = divide(items, task.splits, related=groups)
    order = {label: number for number, label in enumerate(names)}
    numbers = np.array([order[label] for label in items.labels], dtype=np.int64)
    _check_classes(task, items, splits, names)
    reduced = tuple(reduce_all(splits, items, sizes, seed=subset) for subset in range(subsets))
    files = tuple(folder / f"{_file_name(task.name)}-{subset}.json" for subset in range(subsets))
    for fold_splits, path in zip(reduced, files, strict=True):
        _write(fold_splits, path)
    return PreparedTask(
        task=task,
        items=items,
        root=root,
        classes=tuple(names.values()),
        positive_class=positive_class,
        numbers=numbers,
        groups=groups,
        splits=reduced,
        files=files,
        dataset_dir=dataset_dir,
        columns=columns,
    )


def _check_classes(task: Task, items: SplitSource, splits: Splits, names: Mapping[str, str]) -> None:
    for number, fold in enumerate(splits.folds):
        for section in ("training", "validation", "test"):
            there = {items.labels[place] for place in items.positions(fold.section(section))}
            missing = [name for label, name in names.items() if label not in there]
            if missing:
                raise StudyError(
                    f"Fold {number} of {task.name} has no image of {', '.join(missing)} in {section}, so it cannot be"
                    " judged: use fewer folds, another seed of the splits, or leave the class out."
                )


def _write(splits: Splits, path: Path) -> None:
    """Splits are made of the data alone, so a changed file is one of changed data or a changed plan."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.fresh")
    fresh.unlink(missing_ok=True)
    splits.save(fresh)
    fresh.replace(path)


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)
