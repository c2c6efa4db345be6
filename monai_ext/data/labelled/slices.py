"""Labelled slices, ready for a network: of a table beside its pictures, of a folder for each class, or of a store."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from monai_ext.data.labelled.labels import choose_section, name_classes, open_labelled_source, related_groups
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.splits.items import SplitSource
from monai_ext.data.store.reader import SliceStore, is_slice_store
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice

__all__ = ["LabelledSlices", "open_labelled_sets", "open_labelled_slices"]

logger = logging.getLogger(__name__)


class LabelledSlices(Dataset[dict[str, Any]]):
    """Slices with their classes; made by :func:`open_labelled_slices`.

    An item is ``{"image": float32 (C, S, S) in [0, 1], "label": int}``.

    Attributes:
        images: the slices alone, with ``window`` and ``describe()``.
        labels: of every item, its position in ``class_names``.
        class_names: in order; they are those of the whole source, whatever the section.
        groups: of every item, a pseudonym of the patient, or of the near duplicates, that it belongs to.
        sections: of every item, its section in the published split; empty where there is none.
        ids: of every item, its name in tables and splits. It may tell who the patient is: not for results.
        name: short name for metrics, made of the folder's name.
    """

    def __init__(
        self, images: SliceImages, *, items: SplitSource, places: Sequence[int], class_names: Sequence[str], name: str
    ) -> None:
        numbers = {label: number for number, label in enumerate(class_names)}
        self.images = images
        self.class_names = tuple(class_names)
        self.labels = tuple(numbers[items.labels[place]] for place in places)
        self.groups = items.pseudonyms(places)
        self.sections = tuple(items.official[place] for place in places) if items.official else ()
        self.ids = tuple(items.ids[place] for place in places)
        self.name = name
        self.fingerprint = items.content_hash
        self._grouped_by = items.grouped_by

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One slice and its class.

        Raises:
            DatasetError: its file cannot be decoded; the message names the file.
        """
        return {"image": self.images[item], "label": self.labels[item]}

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        counts = Counter(self.labels)
        return self.images.describe() | {
            "classes": {name: counts[number] for number, name in enumerate(self.class_names)},
            "groups": len(set(self.groups)),
            "grouped_by": self._grouped_by,
            "fingerprint": self.fingerprint,
        }


def open_labelled_slices(
    path: str | Path,
    *,
    section: str = "training",
    image_size: int = 224,
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    columns: Mapping[str, str | None] | None = None,
    splits: str | Path | None = None,
    fold: int = 0,
    class_names: Sequence[str] | None = None,
    cache_gib: float = 1.0,
) -> LabelledSlices:
    """Open slices with labels.

    Items of one group (patient) must never be on two sides. A group is the patient that the data names; pairs of near
    duplicates in a file ``near_duplicates.csv`` (its first two columns name items) beside the table or in the folder
    join their groups.

    Args:
        path: a labels table (CSV) beside its pictures, or a folder with such a ``labels.csv``; a folder that holds a
            folder of pictures for each class (pictures in folders further down are grouped by these folders' name); or
            a slice store with labels.
        section: ``"training"``, ``"validation"`` or ``"test"`` of the published split (or of ``splits``), a reduction
            of ``splits`` such as ``"0.1"``, or ``"all"``. Where there is no split, everything is for training.
        image_size: S, side of the items in pixels.
        window: which Hounsfield units become 0 .. 1, see :func:`~monai_ext.data.open_slices`.
        channels: C.
        columns: names of columns that differ from ``{"file": "file", "label": "label", "group": "patient_id", "split":
            "split"}``; a group of None says that every item is a patient of its own. A table without ``patient_id`` is
            taken like that unless a group is named.
        splits: file made by ``python -m monai_ext splits make``, instead of the published split.
        fold: which fold of ``splits``.
        class_names: the classes in order; the source's labels, sorted, when omitted.
        cache_gib: memory for decoded slices in GiB.

    Raises:
        DatasetError: there are no labels, fewer than two classes, a class with a single item, labels that
            ``class_names`` does not have, or the section is empty.
        SplitError: the table lacks a column, a value or pictures (all that are missing are named), or the split does
            not fit the data or lacks the section.
        ValueError: a window on pictures, or windows that do not fit the channels.
    """
    path = Path(path).expanduser()
    items, root = open_labelled_source(path, columns=columns)
    classes = name_classes(items, class_names)
    places = choose_section(items, section, splits=splits, fold=fold)
    is_store = items.kind == "slice store"
    images = SliceImages(
        StoreSource(root) if is_store else PictureSource(root, [root / item for item in items.ids]),
        indices=places,
        load_size=image_size,
        window=window,
        channels=channels,
        cache_gib=cache_gib,
        labels={"source": str(path), "section": section},
    )
    name = re.sub(r"[^0-9A-Za-z]+", "_", root.resolve().name).strip("_") or "labelled"
    related = replace(items, groups=related_groups(items, root))
    slices = LabelledSlices(images, items=related, places=places, class_names=classes, name=name)
    told = slices.describe()
    logger.info(
        "Labelled slices of %s, section %s: %s, in %d groups (by %s).",
        path,
        section,
        ", ".join(f"{number} of class {label}" for label, number in told["classes"].items()),
        told["groups"],
        items.grouped_by,
    )
    return slices


def open_labelled_sets(
    paths: str | Sequence[str | Mapping[str, Any]] | None,
    *,
    section: str = "training",
    image_size: int = 224,
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
) -> list[LabelledSlices]:
    """Open any number of labelled sets for one network, for signals during pre-training.

    Each has a name of its own. Pictures, which have no Hounsfield units, are taken as they are whatever the window.

    Args:
        paths: one path; a list of paths, or of dictionaries with arguments of :func:`open_labelled_slices` such as
            ``{"path": "/data/ct", "columns": {"label": "diagnosis"}}``; or None for no set.
        section: of every set that does not name its own. The test section is not for signals while training.
        image_size: side of the network's input in pixels.
        window: for sets with Hounsfield units.
        channels: of the network's input.

    Raises:
        DatasetError, SplitError, ValueError: as :func:`open_labelled_slices`.
    """
    asked = [paths] if isinstance(paths, str | Mapping) else list(paths or [])
    sets: list[LabelledSlices] = []
    for entry in asked:
        arguments = {"path": entry} if isinstance(entry, str | Path) else dict(entry)
        if "path" not in arguments:
            raise DatasetError(f'A labelled set is a path, or has one as {{"path": ...}}; received {entry!r}.')
        chosen = window if _has_hounsfield(arguments["path"]) else "full"
        defaults = {"section": section, "image_size": image_size, "window": chosen, "channels": channels}
        opened = open_labelled_slices(**(defaults | arguments))
        taken = {other.name for other in sets}
        opened.name = next(name for name in _candidates(opened.name) if name not in taken)
        sets.append(opened)
    return sets


def _has_hounsfield(path: str | Path) -> bool:
    return is_slice_store(Path(path).expanduser()) and SliceStore(path).source_kind != "picture"


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))
