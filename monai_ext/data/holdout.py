"""Chooses which slices are held out, so that no volume or series is on both sides."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

from monai_ext.errors import DatasetError

__all__ = ["hold_out"]

logger = logging.getLogger(__name__)


def hold_out(groups: Sequence[str], *, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split slices by their groups into training and validation; returns the indices of both, in order.

    Groups are ordered by a hash of seed and name, and the first ``fraction`` of them (at least one, never all) are held
    out. Hence the choice neither depends on the order of the files nor on the machine, and hardly changes when
    data is added. A set that is one single group gives up its last slices instead, one neighbour being dropped between
    the two sides; its held-out error is then an optimistic one, and a warning says so.

    Args:
        groups: the group of every slice.
        fraction: part of the groups that is held out, within [0, 1); 0 holds nothing out.
        seed: another seed holds out other groups.

    Raises:
        ValueError: the fraction is outside [0, 1).
        DatasetError: there are too few slices to hold any out.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation_fraction is within [0, 1), 0 holding nothing out, but {fraction} was given.")
    everything = list(range(len(groups)))
    if fraction == 0:
        return everything, []
    names = sorted(set(groups), key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())
    if len(names) == 1:
        return _last_slices(everything, fraction)
    held = set(names[: min(len(names) - 1, max(1, round(fraction * len(names))))])
    return [i for i in everything if groups[i] not in held], [i for i in everything if groups[i] in held]


def _last_slices(everything: list[int], fraction: float) -> tuple[list[int], list[int]]:
    if len(everything) < 3:
        raise DatasetError(
            f"Nothing can be held out of {len(everything)} slice(s) of one volume: give more data, or set"
            " validation_fraction to 0."
        )
    logger.warning(
        "All slices are of one series or volume: its last ones are held out, so the held-out error will look better"
        " than on another patient."
    )
    held = min(len(everything) - 2, max(1, round(fraction * len(everything))))
    return everything[: -held - 1], everything[-held:]
