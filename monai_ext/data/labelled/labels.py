"""Finds labels wherever they are: in a table, in the names of folders, or in a slice store."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_ext.data.sources.folder_scan import scan_folder
from monai_ext.data.sources.source import fingerprint_files
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.data.splits.making import join_near_duplicates, official_splits, read_near_duplicates
from monai_ext.data.splits.splits import read_splits
from monai_ext.data.store.reader import is_slice_store
from monai_ext.errors import DatasetError, SplitError

__all__ = ["choose_section", "name_classes", "open_labelled_source", "related_groups"]

logger = logging.getLogger(__name__)

TABLE, NEAR_DUPLICATES = "labels.csv", "near_duplicates.csv"
COLUMNS = {"file": "file", "label": "label", "group": "patient_id", "split": "split"}
_ACCEPTED = (
    "a labels table (.csv) beside its pictures, a folder with labels.csv, a folder with one folder of pictures for each"
    " class, or a slice store with labels"
)
_NAMED = 10


def open_labelled_source(path: Path, *, columns: Mapping[str, str | None] | None = None) -> tuple[SplitSource, Path]:
    """The items at ``path`` with their labels and patients, and the folder that their ids are relative to.

    Args:
        path: a table, a folder with ``labels.csv``, a folder of class folders, or a slice store.
        columns: names of columns that differ from ``COLUMNS``; where the default column of groups is missing, items
            stand for themselves.

    Raises:
        DatasetError: there is nothing of the kind, or no label.
        SplitError: a column, a value, or pictures of the table are missing.
    """
    names = _column_names(columns)
    if not path.exists():
        raise DatasetError(f"The labelled data cannot be read: {path} does not exist. Give {_ACCEPTED}.")
    if is_slice_store(path):
        items = open_split_source(path, label_column=str(names["label"]), group_column=names["group"])
        if not any(items.labels):
            raise DatasetError(
                f"The slice store {path} has no labels. Make one with `python -m monai_ext data store`, or give a"
                " labels table."
            )
        return items, path
    table = path / TABLE if path.is_dir() else path
    if table.is_file():
        if table.suffix.lower() != ".csv":
            raise DatasetError(f"{path} is no labelled data: give {_ACCEPTED}.")
        if "group" not in (columns or {}) and names["group"] not in _header(table):
            logger.info("%s names no patients: every item stands for itself.", table.name)
            names["group"] = None
        items = open_split_source(
            table,
            id_column=str(names["file"]),
            label_column=str(names["label"]),
            group_column=names["group"],
            split_column=str(names["split"]),
        )
        return items, table.parent
    return _from_class_folders(path), path


def related_groups(items: SplitSource, root: Path) -> tuple[str, ...]:
    """Groups of the items, those of near duplicates joined where the folder has a table of them.

    Raises:
        SplitError: the table cannot be read, or names unknown items.
    """
    table = root / NEAR_DUPLICATES
    if not table.is_file():
        return items.groups
    pairs = read_near_duplicates(table, items)
    logger.info("%d pairs of near duplicates in %s stay together.", len(pairs), table)
    return tuple(join_near_duplicates(items, pairs))


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
            f"{items.name} has labels that are not among the classes {', '.join(class_names)}: {_told(unknown)}."
            " Correct the labels, or name these classes too."
        )
    if len(class_names) < 2:
        raise DatasetError(f"{items.name} has the one class {class_names[0]!r}: telling classes apart needs two.")
    few = {label: counts[label] for label in class_names if counts[label] < 2}
    if few:
        raise DatasetError(
            f"{items.name} has classes with fewer than two items: {_told(few)}. Nothing can be learnt from one and"
            " tested on another: look for a misspelt label, or take the class out."
        )
    return tuple(class_names)


def choose_section(
    items: SplitSource, section: str, *, splits: str | Path | None = None, fold: int = 0
) -> tuple[int, ...]:
    """Positions of the items of a section, in order; everything is for training where there is no split.

    Raises:
        SplitError: the split does not fit the items, two sections share a patient, or there is no such section or fold.
        DatasetError: the section is empty.
    """
    if section == "all":
        return tuple(range(len(items.ids)))
    if splits is not None:
        folds = read_splits(splits, items).folds
        if not 0 <= fold < len(folds):
            raise SplitError(f"{splits} has the folds 0 to {len(folds) - 1}; fold {fold} was asked for.")
        chosen = folds[fold]
    elif items.official:
        chosen = official_splits(items).folds[0]
    elif section == "training":
        return tuple(range(len(items.ids)))
    else:
        raise SplitError(
            f"{items.name} has no published split, so it has no section {section!r}: make one with `python -m monai_ext"
            " splits make` and give its file as splits, or ask for the section 'all'."
        )
    places = sorted(items.positions(chosen.section(section)))
    if not places:
        raise DatasetError(f"The section {section!r} of {items.name} is empty: choose another, or another split.")
    return tuple(places)


def _column_names(columns: Mapping[str, str | None] | None) -> dict[str, str | None]:
    unknown = [key for key in columns or {} if key not in COLUMNS]
    empty = [key for key, name in (columns or {}).items() if not name and key != "group"]
    if unknown or empty:
        raise ValueError(
            f"columns names the table's columns for {', '.join(COLUMNS)} (only group may be None); received"
            f" {dict(columns or {})!r}."
        )
    return COLUMNS | dict(columns or {})


def _header(table: Path) -> list[str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            return next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SplitError(f"The labels table {table} cannot be read: {error}.") from error


def _from_class_folders(root: Path) -> SplitSource:
    """``root/CLASS/...``: the first folder is the class; folders below it group what lies in them."""
    if not root.is_dir():
        raise DatasetError(f"{root} is no labelled data: give {_ACCEPTED}.")
    scan = scan_folder(root)
    if scan.kind != "pictures":
        raise DatasetError(
            f"{root} holds {scan.kind} without labels: folders for classes are read of pictures. Give {_ACCEPTED}."
        )
    relative = [file.relative_to(root) for file in scan.files]
    loose = [file.name for file in relative if len(file.parts) == 1]
    if loose:
        raise DatasetError(
            f"{root} has neither labels.csv nor only folders of classes: {len(loose)} pictures lie beside each other in"
            f" it ({', '.join(loose[:3])}). Give {_ACCEPTED}."
        )
    ids = tuple(file.as_posix() for file in relative)
    groups = tuple("/".join(file.parts[1:-1]) or file.as_posix() for file in relative)
    return SplitSource(
        kind="class folders",
        name=root.resolve().name,
        content_hash=fingerprint_files(root, scan.files),
        ids=ids,
        labels=tuple(file.parts[0] for file in relative),
        groups=groups,
        grouped_by="folder" if groups != ids else "picture",
    )


def _told(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{label!r} ({count})" for label, count in list(counts.items())[:_NAMED])
    return shown + (f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else "")
