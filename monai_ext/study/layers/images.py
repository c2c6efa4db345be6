"""The labelled images that encoders are judged on: never those of a published test section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.labelled.labels import LabelledData, name_classes, open_labelled
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.source import GRAY_LEVELS
from monai_ext.data.splits.items import SplitSource
from monai_ext.data.splits.making import make_splits
from monai_ext.errors import DatasetError, SplitError
from monai_ext.metrics.group_jackknife import group_blocks

__all__ = ["FOLDS", "JudgedImages", "open_judged_images"]

FOLDS = 5
_FEWEST = 24
_FEWEST_GROUPS = 6


@dataclass(frozen=True)
class JudgedImages:
    """Labelled images of patients.

    Attributes:
        data: where they are from.
        places: (N,) which of its items they are.
        class_names: K.
        labels: (N,) classes, from 0.
        groups: (N,) the patient of each.
        blocks: (N,) the block of patients of each, for intervals.
        folds: numbers of the images for training, choosing and judging a probe; each image is judged once.
        left_out: images of a published test section.
        kept_of: images that there would have been without a limit.
    """

    data: LabelledData
    places: np.ndarray
    class_names: tuple[str, ...]
    labels: np.ndarray
    groups: tuple[str, ...]
    blocks: np.ndarray
    folds: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]
    left_out: int
    kept_of: int

    def __len__(self) -> int:
        return len(self.places)

    def opened(self, *, image_size: int, window: Any, channels: int) -> SliceImages:
        """The images as an encoder takes them, (C, S, S) in [0, 1]; pictures are taken as they are.

        Raises:
            ValueError: the window is one of other values than those of the data.
        """
        shown = "full" if self.data.source.values == GRAY_LEVELS else window
        return SliceImages(
            self.data.source, indices=self.places.tolist(), load_size=image_size, window=shown, channels=channels
        )

    def spread(self, count: int) -> np.ndarray:
        """Numbers of at most ``count`` images, of as many patients as possible, in a random order."""
        order = np.random.default_rng(0).permutation(len(self))
        seen: dict[str, int] = {}
        turns = []
        for number in order:
            turns.append(seen.setdefault(self.groups[number], 0))
            seen[self.groups[number]] += 1
        return order[np.argsort(turns, kind="stable")][:count]

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain values without identity."""
        return {
            "images": len(self),
            "patients": len(set(self.groups)),
            "grouped_by": self.data.items.grouped_by,
            "classes": {name: int((self.labels == number).sum()) for number, name in enumerate(self.class_names)},
            "folds": len(self.folds),
            "blocks": int(self.blocks.max()) + 1,
            "test_images_left_out": self.left_out,
            "images_without_limit": self.kept_of,
            "fingerprint": self.data.items.content_hash,
        }


def open_judged_images(
    path: str | Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    limit: int = 2000,
    folds: int = FOLDS,
    seed: int = 0,
) -> JudgedImages:
    """Open labelled data to judge encoders on.

    Images of a published test section are left out: what is seen here may well be used to choose an encoder. The others
    are divided into folds by patient; near duplicates stay together where a table names them.

    Args:
        path: as the classification bundles take it, see :func:`~monai_ext.data.open_labelled_sections`.
        columns: names of a table's columns that differ.
        limit: at most about so many images: patients are drawn, and all images of one are taken.
        folds: K, at least 3.
        seed: of patients, folds and blocks.

    Raises:
        DatasetError: there is no data, no label, one class, or fewer images or patients than are needed.
        SplitError: a class has fewer patients than there are folds, or nothing tells what is of one patient.
    """
    data = open_labelled(path, columns=columns)
    items = data.related
    if items.resplit_refusal:
        raise SplitError(
            f"Encoders are not judged on {items.name}, since {items.resplit_refusal}. Give labelled images with a"
            " column of patients, or the table of volumes beside the file."
        )
    judged = [place for place in range(len(items.ids)) if not items.official or items.official[place] != "test"]
    places = _of_drawn_patients(judged, items.groups, limit=limit, seed=seed)
    groups = tuple(items.groups[place] for place in places)
    if len(places) < _FEWEST or len(set(groups)) < _FEWEST_GROUPS:
        raise DatasetError(
            f"{items.name} has {len(places)} images of {len(set(groups))} patients (by {items.grouped_by}) outside its"
            f" test section; encoders are judged on at least {_FEWEST} images of {_FEWEST_GROUPS} patients. Give more,"
            " or raise the limit."
        )
    chosen = replace(
        items,
        ids=tuple(items.ids[place] for place in places),
        labels=tuple(items.labels[place] for place in places),
        groups=groups,
        sites=(),
        official=(),
    )
    classes = name_classes(chosen)
    number_of = {label: number for number, label in enumerate(classes)}
    divided = make_splits(chosen, folds=folds, test_each_fold=True, seed=seed).folds
    return JudgedImages(
        data=data,
        places=np.array(places),
        class_names=classes,
        labels=np.array([number_of[label] for label in chosen.labels]),
        groups=groups,
        blocks=group_blocks(groups, seed=seed),
        folds=tuple(
            (_numbers(chosen, fold.training), _numbers(chosen, fold.validation), _numbers(chosen, fold.test))
            for fold in divided
        ),
        left_out=len(items.ids) - len(judged),
        kept_of=len(judged),
    )


def _of_drawn_patients(places: list[int], groups: Sequence[str], *, limit: int, seed: int) -> list[int]:
    if len(places) <= limit:
        return places
    names = list(dict.fromkeys(groups[place] for place in places))
    members: dict[str, list[int]] = {name: [] for name in names}
    for place in places:
        members[groups[place]].append(place)
    kept: list[int] = []
    for number in np.random.default_rng(seed).permutation(len(names)):
        if len(kept) + len(members[names[number]]) <= limit:
            kept += members[names[number]]
    return sorted(kept)


def _numbers(items: SplitSource, ids: Sequence[str]) -> np.ndarray:
    return np.array(sorted(items.positions(ids)))
