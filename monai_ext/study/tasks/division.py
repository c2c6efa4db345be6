"""Folds of a task's items, and smaller training sets in each."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from monai_ext.data.splits.items import SECTIONS, SplitSource
from monai_ext.data.splits.making import make_splits, official_splits
from monai_ext.data.splits.reductions import reduce_training
from monai_ext.data.splits.splits import Fold, Splits, read_splits
from monai_ext.errors import StudyError

__all__ = ["divide", "reduce_all", "size_name", "smallest_fraction"]

_FOLDS = 5


def size_name(size: float | int, *, per_class: bool) -> str:
    """The section of a training set: ``"training"`` for all, ``"0.1"``, or ``"30_per_class"``.

    >>> size_name(1.0, per_class=False), size_name(0.25, per_class=False), size_name(30, per_class=True)
    ('training', '0.25', '30_per_class')
    """
    if per_class:
        return f"{size}_per_class"
    return "training" if size == 1 else f"{size:g}"


def divide(items: SplitSource, options: Mapping[str, Any], *, related: Sequence[str]) -> Splits:
    """Training, validation and test of every fold, without reductions.

    Args:
        items: of the task.
        options: ``file`` by ``python -m monai_ext splits make``; or ``test``: ``"official"`` (the published test
            section, which is that of all folds), ``"each_fold"`` (every fold tests on another part), or a fraction;
            with ``folds`` (what is not test, divided by patient), or ``validation`` (a fraction; one fold); and
            ``seed``. Without options: the published split, else five folds, each testing on another part. ``most``
            (``{"training": 4000, "test": 4000}``) keeps so many images of a section, drawn by ``seed``, every class in
            its proportion.
        related: group of every item, near duplicates joined; what is divided here keeps them together. The published
            test section stays as it is.

    Raises:
        StudyError: options that contradict each other.
        SplitError: the items cannot be divided so, for example with more folds than patients.
    """
    divided = _divided(items, options, related)
    if not options.get("most"):
        return divided
    return _thinned(divided, items, options["most"], seed=int(options.get("seed", 0)))


def _divided(items: SplitSource, options: Mapping[str, Any], related: Sequence[str]) -> Splits:
    if options.get("file"):
        return read_splits(options["file"], items)
    folds, seed = options.get("folds"), int(options.get("seed", 0))
    test = options.get("test", "official" if items.official else "each_fold")
    if test == "official":
        if not items.official:
            raise StudyError(
                f"{items.name} has no published test section: let test be 'each_fold', or a fraction such as 0.2."
            )
        if folds is None:
            return official_splits(items)
        return _folds_beside_official_test(items, folds, seed, related)
    together = replace(items, groups=tuple(related))
    if test == "each_fold":
        return make_splits(together, folds=folds or _FOLDS, test_each_fold=True, seed=seed)
    if not isinstance(test, int | float) or isinstance(test, bool) or not 0 < test < 1:
        raise StudyError(f"The test section is 'official', 'each_fold' or a fraction in (0, 1); received {test!r}.")
    validation = float(options.get("validation", 0.0 if folds else 0.2))
    return make_splits(together, test_fraction=float(test), validation_fraction=validation, folds=folds, seed=seed)


def _thinned(splits: Splits, items: SplitSource, most: Mapping[str, int], *, seed: int) -> Splits:
    """The same folds with at most so many images in a section, every class in its proportion and at least once."""
    folds = []
    for fold in splits.folds:
        kept: dict[str, Any] = {name: _drawn(items, fold.section(name), count, seed) for name, count in most.items()}
        near_duplicates = {
            name: tuple(item for item in ids if item in kept.get(name, ids))
            for name, ids in fold.near_duplicates.items()
        }
        folds.append(replace(fold, **kept, reductions={}, near_duplicates=near_duplicates))
    return Splits.of(items, folds, {**splits.made, "most": dict(most), "most_seed": seed})


def _drawn(items: SplitSource, section: Sequence[str], count: int, seed: int) -> tuple[str, ...]:
    if len(section) <= count:
        return tuple(section)
    generator = np.random.default_rng(seed)
    of_class: dict[str, list[str]] = defaultdict(list)
    for item, place in zip(section, items.positions(section), strict=True):
        of_class[items.labels[place]].append(item)
    chosen: set[str] = set()
    for _, members in sorted(of_class.items()):
        share = max(1, round(count * len(members) / len(section)))
        chosen.update(members[place] for place in generator.permutation(len(members))[:share])
    return tuple(item for item in section if item in chosen)


def reduce_all(splits: Splits, items: SplitSource, sizes: Sequence[tuple[float, bool]], *, seed: int) -> Splits:
    """The same folds with smaller training sets of these sizes, drawn by ``seed`` plus the number of the fold.

    Raises:
        SplitError: a class has fewer items than asked for.
        StudyError: a fraction leaves a class without any item; the message has the smallest possible one.
    """
    fractions = [size for size, per_class in sizes if not per_class and size < 1]
    per_class = [int(size) for size, per_class in sizes if per_class]
    folds = []
    for number, fold in enumerate(splits.folds):
        least = smallest_fraction(items, fold.training)
        if fractions and min(fractions) < least:
            raise StudyError(
                f"A fraction of {min(fractions):g} leaves a class of {items.name} without any training image in fold"
                f" {number}: the smallest possible one is {least:g}."
            )
        reductions = reduce_training(
            items, fold.training, fractions=fractions, per_class=per_class, seed=seed + 1000 * number
        )
        folds.append(replace(fold, reductions=reductions))
    return Splits.of(items, folds, {**splits.made, "reduction_seed": seed})


def smallest_fraction(items: SplitSource, training: Sequence[str]) -> float:
    """The least fraction, rounded up to whole thousandths, that leaves every class at least one item."""
    counts = Counter(items.labels[place] for place in items.positions(training))
    return math.ceil(500 / min(counts.values()) + 1e-9) / 1000


def _folds_beside_official_test(items: SplitSource, folds: int, seed: int, related: Sequence[str]) -> Splits:
    """The published test section stays; what is published as training and validation is divided anew."""
    if items.resplit_refusal:
        raise StudyError(f"{items.name} is not divided into folds, since {items.resplit_refusal}: leave folds out.")
    rest = [place for place, section in enumerate(items.official) if section != SECTIONS[2]]
    test = tuple(item for item, section in zip(items.ids, items.official, strict=True) if section == SECTIONS[2])

    def pick(values: Sequence[str]) -> tuple[str, ...]:
        return tuple(values[place] for place in rest) if values else ()

    part = replace(
        items,
        ids=pick(items.ids),
        labels=pick(items.labels),
        groups=pick(related),
        sites=pick(items.sites),
        official=(),
    )
    made = make_splits(part, folds=folds, seed=seed)
    divided = [Fold(fold.training, fold.validation, test) for fold in made.folds]
    return Splits.of(items, divided, {**made.made, "test": "official"})
