"""The one chooser of sections: which items are in which, with a split made on the spot where there is none."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path

from monai_ext.data.labelled.labels import LabelledData
from monai_ext.data.splits.items import SECTIONS
from monai_ext.data.splits.making import make_splits, official_splits
from monai_ext.data.splits.splits import Fold, read_splits
from monai_ext.errors import DatasetError, SplitError

__all__ = ["Division"]

logger = logging.getLogger(__name__)

HELD_OUT = 0.2


class Division:
    """Labelled data divided into sections.

    The split is that of ``splits``, else the one that was published with the data; where that has no validation
    section, a fifth of its training groups is held out. Where there is no split, a fifth of the groups is for
    validation and a fifth for test, near duplicates staying together.

    Args:
        data: the items.
        splits: file by ``python -m monai_ext splits make``.
        fold: of ``splits``.
        seed: of a split that is made here.
        as_published: leaves a published split without a validation section as it is.
    """

    def __init__(
        self,
        data: LabelledData,
        *,
        splits: str | Path | None = None,
        fold: int = 0,
        seed: int = 0,
        as_published: bool = False,
    ) -> None:
        self.data = data
        self._splits, self._number, self._seed, self._as_published = splits, fold, seed, as_published

    @property
    def is_made_here(self) -> bool:
        """Whether there is neither a file nor a published split."""
        return self._splits is None and not self.data.items.official

    @cached_property
    def fold(self) -> Fold:
        """The sections.

        Raises:
            SplitError: the split does not fit the items, has a patient on two sides, or lacks the fold.
        """
        items = self.data.items
        if self._splits is not None:
            folds = read_splits(self._splits, items).folds
            if not 0 <= self._number < len(folds):
                raise SplitError(
                    f"{self._splits} has the folds 0 to {len(folds) - 1}; fold {self._number} was asked for."
                )
            return folds[self._number]
        if items.official:
            published = official_splits(items).folds[0]
            return published if published.validation or self._as_published else self._with_validation()
        made = make_splits(self.data.related, test_fraction=HELD_OUT, validation_fraction=HELD_OUT, seed=self._seed)
        logger.info(
            "%s has no split: a fifth of its groups (by %s) is held out for validation and a fifth for test, by seed"
            " %d.",
            items.name,
            items.grouped_by,
            self._seed,
        )
        return made.folds[0]

    def _with_validation(self) -> Fold:
        """The published split, which has training and test alone, with a fifth of training held out."""
        logger.info(
            "%s is published without a validation section: a fifth of its training groups (by %s) is held out, by seed"
            " %d.",
            self.data.items.name,
            self.data.items.grouped_by,
            self._seed,
        )
        related = self.data.related
        return official_splits(related, validation_fraction=HELD_OUT, seed=self._seed).folds[0]

    def places(self, section: str) -> tuple[int, ...]:
        """Positions of the items of a section, in order.

        Args:
            section: ``"training"``, ``"validation"``, ``"test"``, a reduction of ``splits``, or ``"all"``.

        Raises:
            SplitError: as :attr:`fold`, or there is no such section.
            DatasetError: the section is empty.
        """
        items = self.data.items
        if section == "all":
            return tuple(range(len(items.ids)))
        if self.is_made_here and section not in SECTIONS:
            raise SplitError(
                f"{items.name} has no split with a section {section!r}: without one the sections are"
                f" {', '.join(SECTIONS)}. Reductions are made by `python -m monai_ext splits make`, whose file is named"
                " as splits."
            )
        places = sorted(items.positions(self.fold.section(section)))
        if not places:
            raise DatasetError(
                f"The section {section!r} of {items.name} is empty: choose another, another split, or add groups."
            )
        return tuple(places)

    def resembling_earlier(self, section: str) -> frozenset[int]:
        """Positions of the section's items that resemble one of training (or, for test, of validation too).

        They make results look better than they are; known from a table of near duplicates, if there is one.
        """
        pairs = self.data.near_duplicates
        if section not in SECTIONS[1:] or not pairs:
            return frozenset()
        items = self.data.items
        earlier = {items.ids[place] for name in SECTIONS[: SECTIONS.index(section)] for place in self._filled(name)}
        both_ways = [*pairs, *(pair[::-1] for pair in pairs)]
        resembling = {item for item, other in both_ways if other in earlier and item not in earlier}
        return frozenset(items.positions(resembling))

    def _filled(self, section: str) -> list[int]:
        return self.data.items.positions(self.fold.section(section))
