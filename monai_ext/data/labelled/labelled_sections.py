"""Labelled images by section: opened once, chosen from as often as a config needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_ext.data.labelled.images import LabelledImages
from monai_ext.data.labelled.labels import name_classes, open_labelled_source, related_groups
from monai_ext.data.labelled.sections import choose_images, near_duplicates_of_earlier
from monai_ext.data.sources.medmnist import MedMNISTSource
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.data.sources.source import SliceSource
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice, window_bounds

__all__ = ["LabelledSections", "open_labelled_images", "open_labelled_sections"]

logger = logging.getLogger(__name__)


class LabelledSections:
    """The sections of labelled data, which never share a patient; made by :func:`open_labelled_sections`.

    A section is chosen when it is first asked for, so that an evaluation does not need a training section.

    Args:
        items: all of them, with labels, groups and the published split.
        source: that reads their images.
        class_names: labels in order, with the names that they shall have.
        section: that :attr:`training` is; a reduction of ``splits``, for example.
        window: of Hounsfield units.
        splits, fold, seed: which split, see :func:`open_labelled_sections`.
        image_size: side of the network's input; smaller images are warned of.
    """

    def __init__(
        self,
        items: SplitSource,
        source: SliceSource,
        *,
        class_names: Mapping[str, str],
        section: str = "training",
        window: WindowChoice = "full",
        splits: str | Path | None = None,
        fold: int = 0,
        seed: int = 0,
        image_size: int | None = None,
    ) -> None:
        name_classes(items, list(class_names))
        self.source = source
        self.class_names = tuple(class_names.values())
        self.section = section
        self._items = items
        self._names = class_names
        self._window = window
        self._choice: dict[str, Any] = {"root": source.root, "splits": splits, "fold": fold, "seed": seed}
        self._image_size = image_size

    @cached_property
    def training(self) -> LabelledImages:
        """The images to train on."""
        return self.choose(self.section)

    @cached_property
    def validation(self) -> LabelledImages:
        """The images by which the best epoch and the threshold are chosen."""
        return self.choose("validation")

    @property
    def fingerprint(self) -> str:
        """Identifies the data, all sections together."""
        return self._items.content_hash

    @property
    def settings(self) -> dict[str, Any]:
        """What a run is described by, as plain values: the classes as they are called, and their labels."""
        return {
            "class_names": list(self.class_names),
            "labels": dict(self._names),
            "window_hu": window_bounds(self._window),
            "data_fingerprint": self.fingerprint,
        }

    def choose(self, section: str) -> LabelledImages:
        """The images of any section: ``"training"``, ``"validation"``, ``"test"``, a reduction, or ``"all"``.

        Raises:
            DatasetError: a class that has to be learnt is not in it.
            SplitError: there is no such section, or it shares a patient with another.
        """
        places = choose_images(self._items, section, **self._choice)
        resembling = near_duplicates_of_earlier(self._items, section, **self._choice)
        images = LabelledImages(
            self.source,
            items=replace(self._items, groups=related_groups(self._items, self.source.root)),
            places=places,
            class_names=self._names,
            window=self._window,
            section=section,
            near_duplicates=[number for number, place in enumerate(places) if place in resembling],
        )
        _check_classes(images)
        _report(images, self._image_size)
        return images


def open_labelled_sections(
    dataset_dir: str | Path | None,
    *,
    class_names: Sequence[str] | Mapping[str, str],
    section: str = "training",
    window: WindowChoice = "full",
    columns: Mapping[str, str | None] | None = None,
    splits: str | Path | None = None,
    fold: int = 0,
    seed: int = 0,
    image_size: int | None = None,
) -> LabelledSections:
    """Open labelled images, once for all of their sections.

    The split is that of ``splits``, else the one that was published with the data. Where there is neither, a fifth of
    the patients is held out for validation and a fifth for test, stratified by class, near duplicates together, as
    ``seed`` says: the same seed gives the same split.

    Args:
        dataset_dir: a labels table (CSV) beside its pictures, or a folder with such a ``labels.csv``; a folder that
            holds a folder of pictures for each class; a slice store with labels; or a MedMNIST file (.npz), whose
            volumes a table ``<name>_volumes.csv`` (columns ``item`` and ``volume``) beside it may tell.
        class_names: the labels in order, or a dictionary of labels and the names that they shall have.
        section: what ``.training`` is: ``"training"``, or a reduction of ``splits`` such as ``"0.1"``.
        window: which Hounsfield units become 0 .. 1; pictures, which have none, are taken as they are.
        columns: names of columns that differ from ``{"file": "file", "label": "label", "group": "patient_id", "split":
            "split"}``; a group of None says that every item is a patient of its own.
        splits: file made by ``python -m monai_ext splits make``.
        fold: which fold of ``splits``.
        seed: of the split that is made where there is none.
        image_size: side of the network's input; smaller images are warned of.

    Raises:
        DatasetError: there is no data, no label, or a label that is not among ``class_names``.
        SplitError: the table lacks a column, a value or pictures (all that are missing are named).
        ValueError: the window is none.
    """
    if dataset_dir is None:
        raise DatasetError(
            "There are no labelled images to train on or to judge by: give them with --dataset_dir, as a labels table,"
            " a folder with one folder of pictures for each class, a slice store with labels, or a MedMNIST file."
        )
    names = dict(class_names) if isinstance(class_names, Mapping) else {name: name for name in class_names}
    items, source = _open(Path(dataset_dir).expanduser(), columns)
    return LabelledSections(
        items,
        source,
        class_names=names,
        section=section,
        window=window,
        splits=splits,
        fold=fold,
        seed=seed,
        image_size=image_size,
    )


def open_labelled_images(
    dataset_dir: str | Path | None,
    *,
    class_names: Sequence[str] | Mapping[str, str],
    section: str = "training",
    **options: Any,
) -> LabelledImages:
    """Open one section of labelled images.

    Args:
        dataset_dir: see :func:`open_labelled_sections`, as for ``class_names`` and all other options.
        class_names: the labels in order.
        section: ``"training"``, ``"validation"``, ``"test"``, a reduction of ``splits``, or ``"all"``.

    Raises:
        DatasetError: there is no data, no label, a label that is not among ``class_names``, or a class that the section
            lacks.
        SplitError: the split does not fit the data, lacks the section, or has a patient on two sides.
        ValueError: the window is none.
    """
    return open_labelled_sections(dataset_dir, class_names=class_names, **options).choose(section)


def _open(path: Path, columns: Mapping[str, str | None] | None) -> tuple[SplitSource, SliceSource]:
    if path.suffix.lower() == ".npz":
        items = open_split_source(path)
        return items, MedMNISTSource(
            path, groups=items.groups, grouped_by=items.grouped_by, fingerprint=items.content_hash
        )
    items, root = open_labelled_source(path, columns=columns)
    if items.kind == "slice store":
        return items, StoreSource(root)
    return items, PictureSource(root, [root / item for item in items.ids])


def _check_classes(images: LabelledImages) -> None:
    """Refuse to train without a class; a class that a small held-out section lacks is only told."""
    missing = [name for number, name in enumerate(images.class_names) if number not in set(images.labels)]
    if not missing:
        return
    told = f"The section {images.section!r} has no image of the class {', '.join(map(repr, missing))}"
    if images.section in ("validation", "test"):
        logger.warning("%s: metrics that need every class cannot be computed.", told)
        return
    raise DatasetError(
        f"{told}, which can therefore not be learnt: choose another split, add images, or leave the class out of"
        " class_names and of the data."
    )


def _report(images: LabelledImages, image_size: int | None) -> None:
    told = images.describe()
    logger.info(
        "%s: %s, in %d groups (by %s).",
        images.section.capitalize(),
        ", ".join(f"{count} of class {name}" for name, count in told["classes"].items()),
        told["groups"],
        told["grouped_by"],
    )
    smallest = told["smallest_rows_columns"]
    if image_size is not None and images.section == "training" and min(smallest) < image_size:
        logger.warning(
            "Some images are smaller than the network's input and will be enlarged: the smallest has %d x %d pixels,"
            " image_size is %d.",
            *smallest,
            image_size,
        )
