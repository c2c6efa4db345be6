"""Labelled images by section: opened once, chosen from as often as a config needs."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_ext.data.labelled.columns import item_column
from monai_ext.data.labelled.images import LabelledImages
from monai_ext.data.labelled.labels import name_classes, open_labelled
from monai_ext.data.labelled.sections import Division
from monai_ext.data.phantoms.labelled import embedded_labelled_sample
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.source import GRAY_LEVELS
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice, hounsfield_windows

__all__ = ["LabelledSections", "open_labelled_images", "open_labelled_sections"]

logger = logging.getLogger(__name__)

_LONGEST_NAME = 32


class LabelledSections:
    """The sections of labelled data, which never share a patient; made by :func:`open_labelled_sections`.

    A section is chosen when it is first asked for, so that an evaluation does not need a training section.

    Args:
        division: the items, their images, and which are in which section.
        class_names: labels in order, with the names that they shall have; all labels, sorted, when omitted.
        section: that :attr:`training` is; a reduction of ``splits``, for example.
        window: of Hounsfield units.
        channels: C.
        image_size: side of the network's input; smaller images are warned of.
        load_size: S, side of the items in pixels; None for each image's own size.
        cache_gib: memory for images of that size.
    """

    def __init__(
        self,
        division: Division,
        *,
        class_names: Mapping[str, str] | None = None,
        section: str = "training",
        window: WindowChoice | Sequence[WindowChoice] = "full",
        channels: int = 1,
        image_size: int | None = None,
        load_size: int | None = None,
        cache_gib: float = 1.0,
    ) -> None:
        self.division = division
        labels = name_classes(division.data.items, None if class_names is None else list(class_names))
        self._names = dict(zip(labels, labels, strict=True)) if class_names is None else class_names
        self.class_names = tuple(self._names.values())
        self.section = str(section)
        self._image_size = image_size
        self._windows = hounsfield_windows(window)  # refused when it is none, also where there are pictures only
        self._options: dict[str, Any] = {
            "load_size": load_size,
            "window": "full" if division.data.source.values == GRAY_LEVELS else window,
            "channels": channels,
            "cache_gib": cache_gib,
        }

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
        return self.division.data.items.content_hash

    @property
    def settings(self) -> dict[str, Any]:
        """What a run is described by, as plain values: the classes as they are called, and their labels."""
        bounds = [[window.lower_hu, window.upper_hu] for window in self._windows]
        return {
            "class_names": list(self.class_names),
            "labels": dict(self._names),
            "window_hu": bounds[0] if len(bounds) == 1 else bounds or None,
            "modality": self.division.data.source.modality,
            "data_fingerprint": self.fingerprint,
        }

    def choose(self, section: str) -> LabelledImages:
        """The images of any section: ``"training"``, ``"validation"``, ``"test"``, a reduction, or ``"all"``.

        Raises:
            DatasetError: a class that has to be learnt is not in it.
            SplitError: there is no such section, or it shares a patient with another.
        """
        section = str(section)  # a command line makes a number of 0.25
        data = self.division.data
        places = self.division.places(section)
        resembling = self.division.resembling_earlier(section)
        described = {"source": str(data.place.path)}
        images = LabelledImages(
            SliceImages(data.source, indices=places, labels=described, **self._options),
            items=data.related,
            class_names=self._names,
            section=section,
            name=_short_name(self.class_names),
            near_duplicates=[number for number, place in enumerate(places) if place in resembling],
        )
        _check_classes(images)
        _report(images, self._image_size)
        return images

    def column(self, name: str, section: str) -> tuple[str, ...]:
        """What a further column of the labels table, or of the slice store, says of each image of a section.

        Raises:
            SplitError: there is no such column or section.
        """
        return item_column(self.division.data, name, self.division.places(section))


def open_labelled_sections(
    dataset_dir: str | Path | None,
    *,
    class_names: Sequence[str] | Mapping[str, str] | None = None,
    section: str = "training",
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    columns: Mapping[str, str | None] | None = None,
    splits: str | Path | None = None,
    fold: int = 0,
    seed: int = 0,
    image_size: int | None = None,
    load_size: int | None = None,
    cache_gib: float = 1.0,
    as_published: bool = False,
) -> LabelledSections:
    """Open labelled images, once for all of their sections.

    The split is that of ``splits``, else the one that was published with the data; where that has training and test
    alone, a fifth of training is held out for validation. Where there is neither, a fifth of the patients is held out
    for validation and a fifth for test, stratified by class, near duplicates together, as ``seed`` says: the same seed
    gives the same split.

    Items of one group (patient) are never in two sections. Pairs of near duplicates in a file ``near_duplicates.csv``
    (its first two columns name items) beside the table or in the folder join their groups.

    Args:
        dataset_dir: a labels table (CSV) beside its pictures, or a folder with such a ``labels.csv``; a folder that
            holds a folder of pictures for each class (pictures in folders further down are grouped by these folders'
            name); a slice store with labels; or a MedMNIST file (.npz), whose volumes a table ``<name>_volumes.csv``
            (columns ``item`` and ``volume``) beside it may tell. The embedded labelled phantoms with these classes when
            None.
        class_names: the labels in order, or a dictionary of labels and the names that they shall have; all labels,
            sorted, when omitted.
        section: what ``.training`` is: ``"training"``, or a reduction of ``splits`` such as ``"0.1"``.
        window: which Hounsfield units become 0 .. 1, see :func:`~monai_ext.data.open_slices`; pictures, which have
            none, are taken as they are.
        channels: C.
        columns: names of columns that differ from ``{"file": "file", "label": "label", "group": "patient_id", "split":
            "split"}``; a group of None says that every item is a patient of its own. A table without ``patient_id`` is
            taken like that unless a group is named.
        splits: file made by ``python -m monai_ext splits make``.
        fold: which fold of ``splits``.
        seed: of the split that is made where there is none.
        image_size: side of the network's input; smaller images are warned of.
        load_size: side of the items in pixels; each image's own size when omitted.
        cache_gib: memory for images of that size in GiB.
        as_published: holds nothing out of a published split that has no validation section.

    Raises:
        DatasetError: there is no data, no label, a label that is not among ``class_names``, a single class, or a class
            with a single item.
        SplitError: the table lacks a column, a value or pictures (all that are missing are named).
        ValueError: the window is none, or windows do not fit the channels.
    """
    names = class_names if class_names is None or isinstance(class_names, Mapping) else {n: n for n in class_names}
    path = _sample(names) if dataset_dir is None else dataset_dir
    division = Division(
        open_labelled(path, columns=columns), splits=splits, fold=fold, seed=seed, as_published=as_published
    )
    return LabelledSections(
        division,
        class_names=names,
        section=section,
        window=window,
        channels=channels,
        image_size=image_size,
        load_size=load_size,
        cache_gib=cache_gib,
    )


def _sample(class_names: Mapping[str, str] | None) -> Path:
    """The embedded phantoms with these labels, which is said."""
    path = embedded_labelled_sample(list(class_names or ()))
    logger.warning(
        "No dataset_dir is given: these are the embedded labelled phantoms, in %s. They show that everything works;"
        " give your own labelled images with --dataset_dir.",
        path,
    )
    return path


def open_labelled_images(
    dataset_dir: str | Path | None, *, section: str = "training", **options: Any
) -> LabelledImages:
    """Open one section of labelled images.

    Args:
        dataset_dir: see :func:`open_labelled_sections`, as for all other options.
        section: ``"training"``, ``"validation"``, ``"test"``, a reduction of ``splits``, or ``"all"``.
        options: of :func:`open_labelled_sections`.

    Raises:
        DatasetError: there is no data, no label, a label that is not among ``class_names``, or a class that the section
            lacks.
        SplitError: the split does not fit the data, lacks the section, or has a patient on two sides.
        ValueError: the window is none, or windows do not fit the channels.
    """
    return open_labelled_sections(dataset_dir, **options).choose(section)


def _short_name(class_names: Sequence[str]) -> str:
    """A name that is the same wherever the set lies: its classes, or how many there are."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", "_".join(class_names)).strip("_")
    return name if 0 < len(name) <= _LONGEST_NAME else f"{len(class_names)}_classes"


def _check_classes(images: LabelledImages) -> None:
    """Refuse to train without a class; of a class that a small held-out section lacks there is a warning."""
    missing = [name for number, name in enumerate(images.class_names) if number not in set(images.labels)]
    if not missing:
        return
    finding = f"The section {images.section!r} has no image of the class {', '.join(map(repr, missing))}"
    if images.section in ("validation", "test"):
        logger.warning("%s: metrics that need every class cannot be computed.", finding)
        return
    raise DatasetError(
        f"{finding}, which can therefore not be learnt: choose another split, add images, or leave the class out of"
        " class_names and of the data."
    )


def _report(images: LabelledImages, image_size: int | None) -> None:
    content = images.describe()
    logger.info(
        "%s: %s, in %d groups (by %s).",
        images.section.capitalize(),
        ", ".join(f"{count} of class {name}" for name, count in content["classes"].items()),
        content["groups"],
        content["grouped_by"],
    )
    smallest = content["smallest_rows_columns"]
    if image_size is not None and images.section == "training" and min(smallest) < image_size:
        logger.warning(
            "Some images are smaller than the network's input and will be enlarged: the smallest has %d x %d pixels,"
            " image_size is %d.",
            *smallest,
            image_size,
        )
