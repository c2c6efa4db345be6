"""What other patients could have been drawn: resamples of whole groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_ext.metrics.class_predictions import ClassPredictions

__all__ = ["GroupResamples", "draw_groups", "resample_groups"]

_MOST_DRAWS, _BLOCK = 20, 256


@dataclass(frozen=True)
class GroupResamples:
    """How often each image is in each resample.

    Attributes:
        weights: (R, N) counts, int16; R is 0 when too few resamples have every class.
        redrawn: resamples that lacked a class and were drawn again.
    """

    weights: np.ndarray
    redrawn: int


def draw_groups(groups: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """Draw as many groups as there are, with replacement, ``count`` times (the cluster bootstrap).

    Args:
        groups: (N,) of every image, its group as a number from 0.
        count: R.
        seed: of the draws.

    Returns:
        (R, N) how often each image is in each resample, int16.

    Example:
        >>> draw_groups(np.array([0, 0, 1]), count=2, seed=0).shape
        (2, 3)
    """
    number = int(groups.max()) + 1
    counts = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=count)
    return counts.astype(np.int16)[:, groups]


def resample_groups(predictions: ClassPredictions, *, count: int, seed: int) -> GroupResamples:
    """Draw as many groups as there are, with replacement, ``count`` times (the cluster bootstrap).

    Images of one patient resemble each other, so a new sample is one of patients. A resample without any image of some
    class has no AUC and no sensitivity: it is drawn again, so all metrics rest on the same resamples. When more than 19
    of 20 lack a class, there are too few groups for intervals, and no weights are returned.

    Args:
        predictions: their groups and labels.
        count: R.
        seed: of the draws.

    Raises:
        ValueError: all images are of one group.
    """
    groups = int(predictions.groups.max()) + 1
    if groups < 2:
        raise ValueError(
            f"Intervals are made by drawing groups (patients), and all {len(predictions.labels)} images are of one."
            " Give images of several, or ask for no intervals with n_bootstrap=0."
        )
    generator = np.random.default_rng(seed)
    has = np.zeros((groups, len(predictions.class_names)))
    has[predictions.groups, predictions.labels] = 1
    drawn: list[np.ndarray] = []
    accepted = redrawn = 0
    while accepted < count and accepted + redrawn < _MOST_DRAWS * count:
        counts = generator.multinomial(groups, np.full(groups, 1 / groups), size=_BLOCK).astype(np.int16)
        complete = np.flatnonzero((counts @ has > 0).all(axis=1))[: count - accepted]
        accepted += len(complete)
        redrawn += (complete[-1] + 1 if accepted == count else _BLOCK) - len(complete)
        drawn.append(counts[complete][:, predictions.groups])
    if accepted < count:
        drawn = [np.zeros((0, len(predictions.labels)), np.int16)]
    return GroupResamples(np.concatenate(drawn), redrawn=int(redrawn))
