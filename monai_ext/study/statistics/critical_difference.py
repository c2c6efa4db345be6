"""Mean ranks of methods over many settings, and by how much they must differ (Friedman, Nemenyi)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CriticalDifference", "critical_difference"]


@dataclass(frozen=True)
class CriticalDifference:
    """Result of :func:`critical_difference`.

    Attributes:
        methods: best mean rank first.
        mean_ranks: of each, from 1 (best).
        difference: mean ranks that differ by less are not told apart at 5 %.
        p_value: of the Friedman test that all methods are alike.
        blocks: number of settings.
        groups: runs of neighbouring methods that are not told apart, as first and last position.
    """

    methods: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    difference: float
    p_value: float
    blocks: int
    groups: tuple[tuple[int, int], ...]


def critical_difference(scores: np.ndarray, methods: Sequence[str]) -> CriticalDifference:
    """Rank methods within each setting and compare mean ranks (Demšar 2006, "Statistical Comparisons of Classifiers").

    Settings count as independent. Folds of one task are not quite, so that the picture is a summary and no proof.

    Args:
        scores: (settings, methods), higher is better.
        methods: their names.

    Raises:
        ValueError: fewer than two settings or three methods, or a score that is not finite.

    >>> ranks = critical_difference(np.array([[0.9, 0.8, 0.7], [0.8, 0.7, 0.6], [0.9, 0.7, 0.8]]), ["a", "b", "c"])
    >>> ranks.methods, [round(rank, 2) for rank in ranks.mean_ranks], round(ranks.difference, 2)
    (('a', 'b', 'c'), [1.0, 2.33, 2.67], 1.91)
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    blocks, count = np.shape(scores)
    if blocks < 2 or count < 3 or count != len(methods) or not np.isfinite(scores).all():
        raise ValueError(
            f"Mean ranks need finite scores of at least 2 settings and 3 methods; received {blocks} x {count} scores of"
            f" {len(methods)} methods."
        )
    ranks = rankdata(-np.asarray(scores), axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    alike = bool((np.asarray(scores) == np.asarray(scores)[:, :1]).all())
    p_value = 1.0 if alike else float(friedmanchisquare(*np.asarray(scores).T).pvalue)
    critical = float(studentized_range.ppf(0.95, count, np.inf)) / math.sqrt(2)
    difference = critical * math.sqrt(count * (count + 1) / (6 * blocks))
    sorted_ranks = ranks[order]
    return CriticalDifference(
        methods=tuple(methods[place] for place in order),
        mean_ranks=tuple(float(rank) for rank in sorted_ranks),
        difference=difference,
        p_value=p_value,
        blocks=blocks,
        groups=_groups(sorted_ranks, difference),
    )


def _groups(ranks: np.ndarray, difference: float) -> tuple[tuple[int, int], ...]:
    """Longest runs of neighbours within the difference, none inside another."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.flatnonzero(ranks - ranks[first] < difference)[-1])
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return tuple(runs)
