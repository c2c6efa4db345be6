"""Which images make up a section, with a split made on the spot where there is none."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from monai_ext.data.labelled.labels import NEAR_DUPLICATES, choose_section, related_groups
from monai_ext.data.splits.items import SECTIONS, SplitSource
from monai_ext.data.splits.making import make_splits, read_near_duplicates
from monai_ext.errors import DatasetError, SplitError

__all__ = ["choose_images", "near_duplicates_of_earlier"]

logger = logging.getLogger(__name__)

HELD_OUT = 0.2


def choose_images(
    items: SplitSource, section: str, *, root: Path, splits: str | Path | None, fold: int = 0, seed: int = 0
) -> tuple[int, ...]:
    """Positions of the items of a section, in order.

    Without ``splits`` and without a published split, a fifth of the groups is for validation and a fifth for test.

    Args:
        items: all of them.
        section: ``"training"``, ``"validation"``, ``"test"``, a reduction of ``splits``, or ``"all"``.
        root: folder that may have a table of near duplicates, which stay together in a split that is made here.
        splits: file by ``python -m monai_ext splits make``.
        fold: of ``splits``.
        seed: of a split that is made here.

    Raises:
        SplitError: the split does not fit the items, has a patient on two sides, or lacks the section.
        DatasetError: the section is empty.
    """
    if splits is not None or items.official or section == "all":
        return choose_section(items, section, splits=splits, fold=fold)
    if section not in SECTIONS:
        raise SplitError(
            f"{items.name} has no split with a section {section!r}: without one the sections are {', '.join(SECTIONS)}."
            " Reductions are made by `python -m monai_ext splits make`, whose file is given as splits."
        )
    related = replace(items, groups=related_groups(items, root))
    made = make_splits(related, test_fraction=HELD_OUT, validation_fraction=HELD_OUT, seed=seed)
    places = tuple(sorted(items.positions(made.folds[0].section(section))))
    if section == "training":
        logger.info(
            "%s has no split: a fifth of its groups (by %s) is held out for validation and a fifth for test, by seed"
            " %d.",
            items.name,
            items.grouped_by,
            seed,
        )
    if not places:
        raise DatasetError(f"The section {section!r} of {items.name} is empty: there are too few groups.")
    return places


def near_duplicates_of_earlier(
    items: SplitSource, section: str, *, root: Path, splits: str | Path | None, fold: int = 0, seed: int = 0
) -> frozenset[int]:
    """Positions of the section's items that resemble one of training (or, for test, of validation too).

    They make results look better than they are; known from the table of near duplicates in ``root``, if there is one.
    """
    table = root / NEAR_DUPLICATES
    if section not in SECTIONS[1:] or not table.is_file():
        return frozenset()
    earlier: set[str] = set()
    for name in SECTIONS[: SECTIONS.index(section)]:
        places = choose_images(items, name, root=root, splits=splits, fold=fold, seed=seed)
        earlier.update(items.ids[place] for place in places)
    pairs = read_near_duplicates(table, items)
    twins = {one for pair in pairs for one, other in (pair, pair[::-1]) if other in earlier and one not in earlier}
    return frozenset(items.positions(twins))
