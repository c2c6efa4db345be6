"""Makes splits: by patient, stratified, with nested reductions, or as published."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.sources.below import plain_name
from monai_ext.data.splits.items import SECTIONS, SplitSource
from monai_ext.data.splits.reductions import reduce_training
from monai_ext.data.splits.splits import Fold, Splits
from monai_ext.data.tables import read_table
from monai_ext.errors import SplitError

__all__ = ["join_near_duplicates", "make_splits", "official_splits", "read_near_duplicates"]

_FINEST = 40
Pairs = Sequence[tuple[str, str]]


def make_splits(
    source: SplitSource,
    *,
    test_fraction: float = 0.0,
    validation_fraction: float = 0.0,
    folds: int | None = None,
    test_each_fold: bool = False,
    seed: int = 0,
    reduce_fractions: Sequence[float] = (),
    reduce_per_class: Sequence[int] = (),
    reduction_seed: int | None = None,
    near_duplicates: Pairs = (),
) -> Splits:
    """Split items by group, stratified by label (and by site when the source has sites).

    scikit-learn's ``StratifiedGroupKFold`` distributes the groups, over more folds than asked for when a fraction needs
    it: 0.15 is three of twenty. Near duplicates are put into one group first, so that they stay together.

    Args:
        source: the items.
        test_fraction: part held out as test, the same in every fold; 0 for none.
        validation_fraction: part of all items for validation; with ``folds``, leave it 0.
        folds: K; each K-th of what is left of the test items is the validation section of one fold.
        test_each_fold: with ``folds`` of at least 3 and without ``test_fraction``, each K-th is the test section of one
            fold and the next K-th its validation section, so that every item is tested once by a model that was neither
            trained nor chosen on it.
        seed: chooses sections; another seed, another split.
        reduce_fractions: smaller training sets as parts within (0, 1), see :func:`reduce_training`.
        reduce_per_class: smaller training sets with so many items of every class.
        reduction_seed: chooses the reductions' items; ``seed`` when omitted.
        near_duplicates: pairs of ids.

    Raises:
        SplitError: fractions or folds that cannot be, too few groups, or a source that must not be split again.
    """
    _check_request(source, test_fraction, validation_fraction, folds)
    if test_each_fold and (folds is None or folds < 3 or test_fraction):
        raise SplitError(
            "Testing in every fold needs at least 3 folds, for training, validation and test, and no other test"
            f" section: folds={folds} and test_fraction={test_fraction} were asked for."
        )
    groups = join_near_duplicates(source, near_duplicates)
    sites = source.sites or ("",) * len(source.ids)
    strata = list(zip(source.labels, sites, strict=True))
    everything = np.arange(len(source.ids))
    rest, test = _cut(everything, groups, strata, test_fraction, seed)
    if folds is None:
        share = validation_fraction / (1 - test_fraction)
        divisions = [(*_cut(rest, groups, strata, share, seed + 1), test)]
    else:
        parts = _distribute(rest, groups, strata, folds, seed + 1)
        divisions = [(np.setdiff1d(rest, part), part, test) for part in parts]
        if test_each_fold:
            following = [*parts[1:], parts[0]]
            divisions = [
                (np.setdiff1d(rest, np.concatenate([part, other])), other, part)
                for part, other in zip(parts, following, strict=True)
            ]
    reduction_seed = seed if reduction_seed is None else reduction_seed
    made: dict[str, Any] = {
        "official": False,
        "test_fraction": test_fraction,
        "validation_fraction": validation_fraction,
        "folds": folds,
        "test_each_fold": test_each_fold,
        "seed": seed,
        "stratified_by": ["label", "site"] if source.sites else ["label"],
        "near_duplicate_pairs": len(near_duplicates),
        "reduction_seed": reduction_seed,
    }
    made_folds = []
    for training, validation, held_out in divisions:
        sections = {"training": training, "validation": validation, "test": held_out}
        ids = {name: tuple(source.ids[place] for place in sorted(places)) for name, places in sections.items()}
        reductions = reduce_training(
            source, ids["training"], fractions=reduce_fractions, per_class=reduce_per_class, seed=reduction_seed
        )
        made_folds.append(Fold(ids["training"], ids["validation"], ids["test"], reductions))
    return Splits.of(source, made_folds, made)


def official_splits(
    source: SplitSource,
    *,
    reduce_fractions: Sequence[float] = (),
    reduce_per_class: Sequence[int] = (),
    reduction_seed: int = 0,
    near_duplicates: Pairs = (),
    validation_fraction: float = 0.0,
    seed: int = 0,
) -> Splits:
    """The split that was published with the data, as one fold; arguments as for :func:`make_splits`.

    Nothing is moved: items with a near duplicate in another section are listed in the fold's ``near_duplicates``. Many
    published splits have training and test alone: of their training items ``validation_fraction`` is then held out by
    group, as ``seed`` says. A published validation section stays as it is.

    Raises:
        SplitError: the source has no official split, or one that has a patient on two sides.
    """
    if not source.official:
        raise SplitError(f"{source.name} has no official split: it would need a column that names each item's section.")
    training, validation, test = (
        tuple(item for item, section in zip(source.ids, source.official, strict=True) if section == name)
        for name in SECTIONS
    )
    held_out = validation_fraction if training and not validation else 0.0
    if held_out:
        groups = join_near_duplicates(source, near_duplicates)
        strata = [(label, "") for label in source.labels]
        parts = _cut(np.array(source.positions(training)), groups, strata, held_out, seed)
        training, validation = (tuple(source.ids[place] for place in sorted(part)) for part in parts)
    reductions = reduce_training(
        source, training, fractions=reduce_fractions, per_class=reduce_per_class, seed=reduction_seed
    )
    resembling = _resembling_earlier(source, near_duplicates)
    fold = Fold(training, validation, test, reductions=reductions, near_duplicates=resembling)
    made: dict[str, Any] = {"official": True, "reduction_seed": reduction_seed}
    made["near_duplicate_pairs"] = len(near_duplicates)
    if held_out:
        made |= {"validation_fraction": held_out, "seed": seed}
    return Splits.of(source, [fold], made)


def read_near_duplicates(path: str | Path, source: SplitSource) -> list[tuple[str, str]]:
    """Read pairs of near duplicates: the first two columns of a CSV file name two items.

    Raises:
        SplitError: the file cannot be read, or names unknown items.
    """
    table = read_table(Path(path).expanduser(), holding="list of near duplicates")
    if len(table.header) < 2:
        raise SplitError(
            f"The near duplicates {path} cannot be read: it has one column. Two columns with ids are needed."
        )
    pairs = [(plain_name(row[0].strip()), plain_name(row[1].strip())) for row in table.rows]
    source.positions(item for pair in pairs for item in pair)
    return pairs


def _check_request(source: SplitSource, test_fraction: float, validation_fraction: float, folds: int | None) -> None:
    if source.resplit_refusal:
        raise SplitError(f"{source.name} is not split again, since {source.resplit_refusal}: use its official split.")
    if min(test_fraction, validation_fraction) < 0 or test_fraction + validation_fraction >= 1:
        raise SplitError(
            f"Fractions are at least 0 and leave something for training, but test {test_fraction} and validation"
            f" {validation_fraction} were given."
        )
    if folds is not None and (folds < 2 or validation_fraction):
        raise SplitError(
            f"With folds, every fold is validation once: give at least 2 folds and no validation fraction (got {folds}"
            f" and {validation_fraction})."
        )
    if folds is None and not test_fraction + validation_fraction:
        raise SplitError("Nothing was asked for: give fractions for validation and test, or a number of folds.")


def _cut(
    places: np.ndarray, groups: Sequence[str], strata: Sequence[tuple[str, str]], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divide ``places`` into the rest and about ``fraction`` of them: so many of the parts that are nearest to it."""
    if not fraction:
        return places, places[:0]
    label, fewest = _rarest_class(places, groups, strata)
    ratio = Fraction(fraction).limit_denominator(min(_FINEST, fewest))
    if not 0 < ratio < 1:
        raise SplitError(
            f"A fraction of {fraction:g} cannot be held out by patient: class {label!r} has {fewest} patients (or"
            " groups). Choose a larger fraction, or use folds."
        )
    parts = _distribute(places, groups, strata, ratio.denominator, seed)
    held = np.concatenate(parts[: ratio.numerator])
    return np.setdiff1d(places, held), held


def _distribute(
    places: np.ndarray, groups: Sequence[str], strata: Sequence[tuple[str, str]], parts: int, seed: int
) -> list[np.ndarray]:
    """Positions of each of ``parts`` parts; refuses when a class has too few groups to be in every part."""
    from sklearn.model_selection import StratifiedGroupKFold

    label, fewest = _rarest_class(places, groups, strata)
    if fewest < parts:
        raise SplitError(
            f"{parts} folds cannot be made by patient: class {label!r} has {fewest} patients (or groups). Choose at"
            f" most {fewest} folds."
        )
    own_groups, own_strata = [groups[place] for place in places], ["\0".join(strata[place]) for place in places]
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # a site with few items of a class
        return [places[part] for _, part in splitter.split(own_strata, own_strata, own_groups)]


def _rarest_class(places: np.ndarray, groups: Sequence[str], strata: Sequence[tuple[str, str]]) -> tuple[str, int]:
    """The class with the fewest groups, and how many it has."""
    members: dict[str, set[str]] = defaultdict(set)
    for place in places:
        members[strata[place][0]].add(groups[place])
    label = min(members, key=lambda label: len(members[label]))
    return label, len(members[label])


def join_near_duplicates(source: SplitSource, pairs: Pairs) -> list[str]:
    """The group of every item, those of near duplicates being joined into one."""
    parent = {group: group for group in source.groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    for pair in pairs:
        first, second = (root(source.groups[place]) for place in source.positions(pair))
        parent[max(first, second)] = min(first, second)
    return [root(group) for group in source.groups]


def _resembling_earlier(source: SplitSource, pairs: Pairs) -> dict[str, tuple[str, ...]]:
    """Of validation and test, the items with a near duplicate in an earlier section."""
    rank = {name: place for place, name in enumerate(SECTIONS)}
    found: dict[str, set[str]] = {"validation": set(), "test": set()}
    for pair in pairs:
        sections = [source.official[place] for place in source.positions(pair)]
        if sections[0] != sections[1]:
            later = max(sections, key=rank.__getitem__)
            found[later].add(pair[sections.index(later)])
    return {name: tuple(sorted(items)) for name, items in found.items() if items}
