"""Labelled images at their own size, for the chain of transforms with which a classifier is trained and used."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from monai_ext.data.labelled.labels import name_classes, open_labelled_source, related_groups
from monai_ext.data.labelled.sections import choose_images, near_duplicates_of_earlier
from monai_ext.data.phantoms.labelled import embedded_labelled_sample
from monai_ext.data.sources.medmnist import MedMNISTSource
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.data.sources.source import SliceSource, pseudonym
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice, find_window

__all__ = ["LabelledImages", "open_labelled_images"]

logger = logging.getLogger(__name__)


class LabelledImages(Dataset[dict[str, Any]]):
    """Images with their classes; made by :func:`open_labelled_images`.

    An item is ``{"image": float32 (1, H, W) in [0, 1], "label": int}`` with each image's own H and W: an 8-bit picture
    divided by 255 (a 16-bit one is brought to whole levels of 8 bits first), or Hounsfield units of the window. MONAI's
    readers followed by ``ScaleIntensityRanged`` give the same numbers, which is how inference reads images.

    Attributes:
        labels: of every item, its position in ``class_names``.
        class_names: in order.
        groups: of every item, a pseudonym of the patient, or of the near duplicates, that it belongs to.
        ids: of every item, its name in tables and splits. It may tell who the patient is.
        near_duplicates: numbers of the items that resemble an item of an earlier section.
        window: of Hounsfield units, ``(lower, upper)``; None for pictures.
    """

    def __init__(
        self,
        source: SliceSource,
        *,
        items: SplitSource,
        places: Sequence[int],
        class_names: Mapping[str, str],
        window: WindowChoice,
        section: str,
        near_duplicates: Sequence[int] = (),
    ) -> None:
        numbers = {label: number for number, label in enumerate(class_names)}
        self.source = source
        self.places = tuple(places)
        self.class_names = tuple(class_names.values())
        self.labels = tuple(numbers[items.labels[place]] for place in places)
        self.groups = tuple(pseudonym(items.name, items.groups[place]) for place in places)
        self.ids = tuple(items.ids[place] for place in places)
        self.near_duplicates = tuple(near_duplicates)
        self.fingerprint = items.content_hash
        self.section = section
        self._grouped_by = items.grouped_by
        self._window = find_window(window) if source.dtype == np.int16 else None
        self.window = None if self._window is None else (self._window.lower_hu, self._window.upper_hu)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One image and its class.

        Raises:
            DatasetError: its file cannot be decoded; the message names the file.
        """
        plane = torch.from_numpy(self.source.read(self.places[item]).astype(np.float32))[None]
        if self._window is None:
            levels = plane if self.source.dtype == np.uint8 else (plane * (255 / 65535)).round()
            image = levels / 255
        else:
            image = ((plane - self._window.lower_hu) / self._window.width_hu).clamp(0.0, 1.0)
        return {"image": image, "label": self.labels[item]}

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        counts = Counter(self.labels)
        return {
            "count": len(self),
            "kind": self.source.kind,
            "section": self.section,
            "classes": {name: counts[number] for number, name in enumerate(self.class_names)},
            "groups": len(set(self.groups)),
            "grouped_by": self._grouped_by,
            "values": "gray levels" if self.window is None else "Hounsfield units",
            "window_hu": None if self.window is None else list(self.window),
            "fingerprint": self.fingerprint,
            **self.source.describe(),
        }


def open_labelled_images(
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
) -> LabelledImages:
    """Open a section of labelled images.

    The split is that of ``splits``, else the one that was published with the data. Where there is neither, a fifth of
    the patients is held out for validation and a fifth for test, stratified by class, near duplicates together, as
    ``seed`` says: the same seed gives the same split.

    Args:
        dataset_dir: a labels table (CSV) beside its pictures, or a folder with such a ``labels.csv``; a folder that
            holds a folder of pictures for each class; a slice store with labels; or a MedMNIST file (.npz), whose
            volumes a table ``<name>_volumes.csv`` (columns ``item`` and ``volume``) beside it may tell. The embedded
            labelled sample of phantoms with these classes when None.
        class_names: the labels in order, or a dictionary of labels and the names that they shall have.
        section: ``"training"``, ``"validation"``, ``"test"``, a reduction of ``splits`` such as ``"0.1"``, or
            ``"all"``.
        window: which Hounsfield units become 0 .. 1; pictures, which have none, are taken as they are.
        columns: names of columns that differ from ``{"file": "file", "label": "label", "group": "patient_id", "split":
            "split"}``; a group of None says that every item is a patient of its own.
        splits: file made by ``python -m monai_ext splits make``.
        fold: which fold of ``splits``.
        seed: of the split that is made where there is none.
        image_size: side of the network's input; smaller images are warned of.

    Raises:
        DatasetError: there is no data, no label, a label that is not among ``class_names``, or a class that the section
            lacks.
        SplitError: the table lacks a column, a value or pictures (all that are missing are named), or the split does
            not fit the data, lacks the section, or has a patient on two sides.
        ValueError: the window is none.
    """
    names = dict(class_names) if isinstance(class_names, Mapping) else {name: name for name in class_names}
    path = embedded_labelled_sample(list(names)) if dataset_dir is None else Path(dataset_dir).expanduser()
    if dataset_dir is None and section == "training":
        logger.warning(
            "No dataset_dir is given: this trains on the embedded labelled sample, phantom CT in %s. It shows that"
            " everything works; give your own labelled images with --dataset_dir.",
            path,
        )
    items, source = _open(path, columns)
    name_classes(items, list(names))
    choice: dict[str, Any] = {"root": source.root, "splits": splits, "fold": fold, "seed": seed}
    places = choose_images(items, section, **choice)
    twins = near_duplicates_of_earlier(items, section, **choice)
    images = LabelledImages(
        source,
        items=replace(items, groups=related_groups(items, source.root)),
        places=places,
        class_names=names,
        window=window,
        section=section,
        near_duplicates=[number for number, place in enumerate(places) if place in twins],
    )
    _check_classes(images)
    _report(images, image_size)
    return images


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
