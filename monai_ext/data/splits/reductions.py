"""Smaller training sets for learning curves: nested, stratified, by patient as far as an exact number allows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from monai_ext.data.splits.items import SplitSource
from monai_ext.errors import SplitError

__all__ = ["reduce_training"]


def reduce_training(
    source: SplitSource, training: Sequence[str], *, fractions: Sequence[float], per_class: Sequence[int], seed: int
) -> dict[str, tuple[str, ...]]:
    """Smaller training sets, nested: each is part of every larger one of its sort.

    The groups are put into one random order, the same for every reduction, in which the sites (when there are any)
    alternate in proportion. Of every class the first items in this order are taken: as few patients as possible, whole
    but for the last one, and exactly ``round(fraction * count)`` (at least one) or n items of every class.

    Raises:
        SplitError: a fraction outside (0, 1), or a class with fewer items than asked for.
    """
    for fraction in fractions:
        if not 0 < fraction < 1:
            raise SplitError(f"A reduction is a fraction within (0, 1), but {fraction} was given.")
    by_class = _items_by_class(source, training, seed)
    reductions: dict[str, dict[str, int]] = {}
    for fraction in sorted(fractions):
        reductions[f"{fraction:g}"] = {label: max(1, round(fraction * len(ids))) for label, ids in by_class.items()}
    for count in sorted(per_class):
        short = {label: len(ids) for label, ids in by_class.items() if len(ids) < count}
        if short or count < 1:
            raise SplitError(
                f"{count} items of every class cannot be taken: the training section has"
                f" {', '.join(f'{have} of class {label!r}' for label, have in (short or {'': 0}).items())}."
            )
        reductions[f"{count}_per_class"] = dict.fromkeys(by_class, count)
    order = {item: place for place, item in enumerate(training)}
    chosen = {
        name: [i for label, n in counts.items() for i in by_class[label][:n]] for name, counts in reductions.items()
    }
    return {name: tuple(sorted(items, key=order.__getitem__)) for name, items in chosen.items()}


def _items_by_class(source: SplitSource, training: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Training items of every class in the order in which reductions take them."""
    places = source.positions(training)
    generator = np.random.default_rng(seed)
    groups = sorted({source.groups[place] for place in places})
    drawn = {groups[place]: rank for rank, place in enumerate(generator.permutation(len(groups)))}
    by_class: dict[str, list[int]] = defaultdict(list)
    for place in places:
        by_class[source.labels[place]].append(place)
    ordered: dict[str, list[str]] = {}
    for label, members in sorted(by_class.items()):
        members.sort(key=lambda place: (drawn[source.groups[place]], place))
        quantiles = _quantiles([source.sites[place] for place in members]) if source.sites else range(len(members))
        ordered[label] = [source.ids[members[k]] for k in sorted(range(len(members)), key=quantiles.__getitem__)]
    return ordered


def _quantiles(sites: Iterable[str]) -> list[float]:
    """Of every item, how far down its own site's list it stands, within (0, 1): sorting by it mixes the sites."""
    sites = list(sites)
    totals, seen = Counter(sites), Counter[str]()
    quantiles = []
    for site in sites:
        seen[site] += 1
        quantiles.append((seen[site] - 0.5) / totals[site])
    return quantiles
