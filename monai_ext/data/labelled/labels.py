"""Finds labels wherever they are: in a table, in the names of folders, in a slice store, or in a MedMNIST file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from monai_ext.data.sources.folder_scan import scan_folder
from monai_ext.data.sources.open import (
    ACCEPTED,
    IMAGES,
    LABELS_TABLE,
    MEDMNIST,
    SLICE_STORE,
    DataPlace,
    find_data,
    open_source,
)
from monai_ext.data.sources.source import SliceSource, fingerprint_files
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.data.splits.making import join_near_duplicates, read_near_duplicates
from monai_ext.errors import DatasetError
from monai_ext.foreign_text import listed

__all__ = ["LabelledData", "has_labels", "name_classes", "open_labelled"]

logger = logging.getLogger(__name__)

NEAR_DUPLICATES = "near_duplicates.csv"
COLUMNS = {"file": "file", "label": "label", "group": "patient_id", "split": "split"}
CLASS_FOLDERS = "class folders"
_NAMED = 10


@dataclass(frozen=True)
class LabelledData:
    """Items with their labels, and the images that belong to them; made by :func:`open_labelled`.

    Attributes:
        items: all of them, with patients and the published split.
        place: where they lie.
    """

    items: SplitSource
    place: DataPlace

    @cached_property
    def source(self) -> SliceSource:
        """The images, in the order of the items.

        Raises:
            DatasetError: one cannot be recognised as an image, or the file is damaged.
        """
        is_indexed = self.place.kind in (SLICE_STORE, MEDMNIST)
        return open_source(self.place, pictures=None if is_indexed else self.items.ids)

    @cached_property
    def near_duplicates(self) -> tuple[tuple[str, str], ...]:
        """Pairs of items that nearly are the same, from a table of them beside the data; none where there is none.

        Raises:
            SplitError: the table cannot be read, or names unknown items.
        """
        table = self.place.root / NEAR_DUPLICATES
        if not table.is_file():
            return ()
        pairs = tuple(read_near_duplicates(table, self.items))
        logger.info("%d pairs of near duplicates in %s stay together.", len(pairs), table)
        return pairs

    @cached_property
    def related(self) -> SplitSource:
        """The items with groups in which near duplicates are joined."""
        if not self.near_duplicates:
            return self.items
        return replace(self.items, groups=tuple(join_near_duplicates(self.items, self.near_duplicates)))


def open_labelled(path: str | Path | DataPlace, *, columns: Mapping[str, str | None] | None = None) -> LabelledData:
    """The items at ``path`` with their labels and patients.

    Args:
        path: a labels table, a folder with ``labels.csv``, a folder of class folders, a slice store with labels, or a
            MedMNIST file.
        columns: names of columns that differ from ``COLUMNS``; where the default column of groups is missing, items
            stand for themselves.

    Raises:
        DatasetError: there is nothing of the kind, or no label.
        SplitError: a column, a value, or pictures of the table are missing.
    """
    names = _column_names(columns)
    place = path if isinstance(path, DataPlace) else find_data(path)
    if place.kind == IMAGES:
        return LabelledData(_from_class_folders(place.path), place)
    items = open_split_source(
        place,
        id_column=str(names["file"]),
        label_column=str(names["label"]),
        group_column=names["group"],
        split_column=str(names["split"]),
        group_is_optional="group" not in (columns or {}),
    )
    if not any(items.labels):
        raise DatasetError(
            f"The slice store {place.path} has no labels. Make one with `python -m monai_ext data store`, or give a"
            " labels table."
        )
    return LabelledData(items, place)


def has_labels(place: DataPlace) -> bool:
    """Whether the data itself says what its labels are: class folders do so only when they are taken for classes."""
    if place.kind == SLICE_STORE:
        return any(open_split_source(place).labels)
    return place.kind in (LABELS_TABLE, MEDMNIST)


def name_classes(items: SplitSource, class_names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The classes in order: as given, or the labels sorted (numbers by their value).

    Raises:
        DatasetError: a label is not among ``class_names``, a class has no item or a single one, or there is one class.
    """
    counts = Counter(items.labels)
    if class_names is None:
        is_numeric = all(label.lstrip("-").isdigit() for label in counts)
        class_names = sorted(counts, key=int) if is_numeric else sorted(counts)
    unknown = {label: count for label, count in counts.items() if label not in class_names}
    if unknown:
        raise DatasetError(
            f"{items.name} has labels that are not among the classes {', '.join(class_names)}: {_shown(unknown)}."
            " Correct the labels, or name these classes too."
        )
    if len(class_names) < 2:
        raise DatasetError(f"{items.name} has the one class {class_names[0]!r}: telling classes apart needs two.")
    few = {label: counts[label] for label in class_names if counts[label] < 2}
    if few:
        raise DatasetError(
            f"{items.name} has classes with fewer than two items: {_shown(few)}. Nothing can be learnt from one and"
            " tested on another: look for a misspelt label, or take the class out."
        )
    return tuple(class_names)


def _column_names(columns: Mapping[str, str | None] | None) -> dict[str, str | None]:
    unknown = [key for key in columns or {} if key not in COLUMNS]
    empty = [key for key, name in (columns or {}).items() if not name and key != "group"]
    if unknown or empty:
        raise ValueError(
            f"columns names the table's columns for {', '.join(COLUMNS)} (only group may be None); received"
            f" {dict(columns or {})!r}."
        )
    return COLUMNS | dict(columns or {})


def _from_class_folders(root: Path) -> SplitSource:
    """``root/CLASS/...``: the first folder is the class; folders below it group what lies in them."""
    if not root.is_dir():
        raise DatasetError(f"{root} is no labelled data: give {ACCEPTED}.")
    scan = scan_folder(root)
    if scan.kind != "pictures":
        raise DatasetError(
            f"{root} holds {scan.kind} without labels: folders for classes are read of pictures. Give {ACCEPTED}."
        )
    relative = [file.relative_to(root) for file in scan.files]
    loose = [file.name for file in relative if len(file.parts) == 1]
    if loose:
        raise DatasetError(
            f"{root} has neither labels.csv nor only folders of classes: {len(loose)} pictures lie beside each other in"
            f" it ({', '.join(loose[:3])}). Give {ACCEPTED}."
        )
    ids = tuple(file.as_posix() for file in relative)
    groups = tuple("/".join(file.parts[1:-1]) or file.as_posix() for file in relative)
    return SplitSource(
        kind=CLASS_FOLDERS,
        name=root.resolve().name,
        content_hash=fingerprint_files(root, scan.files),
        ids=ids,
        labels=tuple(file.parts[0] for file in relative),
        groups=groups,
        grouped_by="folder" if groups != ids else "picture",
    )


def _shown(counts: Mapping[str, int]) -> str:
    return listed((f"{label!r} ({count})" for label, count in counts.items()), most=_NAMED)
