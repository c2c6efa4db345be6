"""What splits are made of: items with label, patient and site, of a labels table, a slice store, or a MedMNIST file."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_ext.data.pseudonyms import group_pseudonyms
from monai_ext.data.sources.below import names_below
from monai_ext.data.sources.medmnist import read_medmnist_items
from monai_ext.data.sources.open import LABELS_TABLE, MEDMNIST, SLICE_STORE, DataPlace, find_data
from monai_ext.data.sources.source import fingerprint_files
from monai_ext.data.store.format import INDEX_COLUMNS
from monai_ext.data.store.reader import SliceStore
from monai_ext.data.tables import Table, read_table
from monai_ext.errors import DatasetError, SplitError
from monai_ext.foreign_text import listed

__all__ = ["SECTIONS", "SplitSource", "open_split_source", "section_name"]

logger = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "test")
_SECTION_NAMES = {"train": "training", "val": "validation", "valid": "validation"} | {name: name for name in SECTIONS}
_ACCEPTED = "a labels table (.csv) beside its pictures, a slice store, or a MedMNIST file (.npz)"
_NAMED = 3
_NO_VOLUMES = "it does not say which items are of one patient; slices of one volume would be on two sides"


@dataclass(frozen=True)
class SplitSource:
    """Items that can be put into sections; all sequences have one entry an item.

    Attributes:
        kind: ``"labels table"``, ``"slice store"`` or ``"MedMNIST"``.
        name: file or folder name, without the path that leads there.
        content_hash: changes with the items, their labels, groups, sites, and with the images as far as is cheap.
        ids: of every item: path below the table's folder in one spelling, ``series_id/slice_number``, or
            ``train/00042``.
        labels: its class.
        groups: what must not be on two sides: the patient, or the volume.
        grouped_by: what a group is.
        sites: where it comes from; empty when not known.
        official: its section in the published split; empty when there is none.
        resplit_refusal: why another split than the official one would be wrong; empty when it would not.
    """

    kind: str
    name: str
    content_hash: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    grouped_by: str
    sites: tuple[str, ...] = ()
    official: tuple[str, ...] = ()
    resplit_refusal: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.ids:
            raise SplitError(f"No split can be made of {self.name}: it has no items.")
        if len(self._places) < len(self.ids):
            repeated = [item for place, item in enumerate(self.ids) if self._places[item] != place]
            raise SplitError(f"{self.name} names {_few(repeated)} more than once: every item must have one row.")

    @cached_property
    def _places(self) -> dict[str, int]:
        return {item: place for place, item in enumerate(self.ids)}

    def pseudonyms(self, places: Sequence[int]) -> tuple[str, ...]:
        """Pseudonyms of the groups that items at these places belong to, with the user's own key.

        Those of a slice store are pseudonyms already, and stay as they are: what a result names is found in the store.

        Raises:
            DatasetError: the key cannot be used.
        """
        groups = [self.groups[place] for place in places]
        if self.kind == SLICE_STORE:
            return tuple(groups)
        return group_pseudonyms(self.group_name(group) for group in groups)

    def group_name(self, group: str) -> str:
        """What a pseudonym of a group is made from: patient 1 of one data set is not patient 1 of another."""
        return f"{self.name}\0{group}"

    def positions(self, ids: Iterable[str]) -> list[int]:
        """Positions of items in this source's order (for a slice store: its index).

        Raises:
            SplitError: an item is not there.
        """
        wanted = list(ids)
        unknown = [item for item in wanted if item not in self._places]
        if unknown:
            raise SplitError(
                f"{self.name} has no items {_few(unknown)} ({len(unknown)} in all): the split belongs to other data."
            )
        return [self._places[item] for item in wanted]


def open_split_source(
    path: str | Path | DataPlace,
    *,
    id_column: str = "file",
    label_column: str = "label",
    group_column: str | None = "patient_id",
    site_column: str | None = None,
    split_column: str = "split",
    group_is_optional: bool = False,
) -> SplitSource:
    """Open what splits are made of.

    Args:
        path: a labels table (CSV) whose ids are paths of pictures beside it, or a folder with such a ``labels.csv``; a
            slice store; or a MedMNIST file (.npz).
        id_column: the table's column of items; not used for the other kinds.
        label_column: column of the class, also in a slice store; a store without labels has the one class ``""``.
        group_column: column of the patient, or of the volume; None declares that every item is a patient of its own.
        site_column: column of the hospital or scanner.
        split_column: the table's column with the published split; may be missing.
        group_is_optional: take every item for a patient of its own where a table lacks the column of groups.

    Raises:
        SplitError: the source cannot be read, lacks a column, a value or a picture, or names an item twice, or a file
            that lies outside its folder.
    """
    try:
        place = path if isinstance(path, DataPlace) else find_data(path)
    except DatasetError as error:
        raise SplitError(f"No split can be made of {path}: {_ACCEPTED} is needed.") from error
    if place.kind == SLICE_STORE:
        return _from_store(place.path, label_column, group_column or "patient_id", site_column)
    if place.kind == MEDMNIST:
        return _from_medmnist(place.path)
    if place.kind == LABELS_TABLE:
        table = read_table(place.table)
        if group_is_optional and group_column not in table.header:
            logger.info("%s names no patients: every item stands for itself.", table.path.name)
            group_column = None
        return _from_table(table, id_column, label_column, group_column, site_column, split_column)
    raise SplitError(f"No split can be made of {place.path}: {_ACCEPTED} is needed.")


def _from_table(
    table: Table,
    id_column: str,
    label_column: str,
    group_column: str | None,
    site_column: str | None,
    split_column: str,
) -> SplitSource:
    path = table.path
    if group_column is not None and group_column not in table.header:
        raise SplitError(
            f"{path.name} has no column {group_column!r}, so nothing tells which items are of one patient. Its columns"
            f" are {listed(table.header)}: name one with --group-column, or, if every item is a patient of its own,"
            " say so with --ungrouped."
        )
    ids = names_below(path.parent, table.column(id_column), table=path.name)
    groups = table.column(group_column) if group_column else ids
    labels = table.column(label_column)
    sites = table.column(site_column) if site_column else ()
    published = table.column(split_column) if split_column in table.header else ()
    official = tuple(section_name(name, path) for name in published)
    fingerprint = fingerprint_files(path.parent, [path.parent / item for item in ids])
    return SplitSource(
        kind=LABELS_TABLE,
        name=path.name,
        content_hash=_hash(fingerprint, ids, labels, groups, sites, official),
        ids=ids,
        labels=labels,
        groups=groups,
        grouped_by=group_column or "item",
        sites=sites,
        official=official,
    )


def _from_store(path: Path, label_column: str, group_column: str, site_column: str | None) -> SplitSource:
    chosen = [name for name in (label_column, group_column, site_column) if name]
    unknown = [name for name in chosen if name not in INDEX_COLUMNS]
    if unknown:
        raise SplitError(f"A slice store has no column {unknown[0]!r}; its columns are {', '.join(INDEX_COLUMNS)}.")
    store = SliceStore(path)
    index = store.columns(["series_id", "slice_number", "section", *chosen])
    values = {name: [value or "" for value in index.column(name).to_pylist()] for name in set(chosen)}
    if "" in values[group_column]:
        raise SplitError(f"Some slices of {path.name} have no {group_column}: choose another column to group by.")
    if "" in values[label_column] and set(values[label_column]) != {""}:
        raise SplitError(f"Some slices of {path.name} have a {label_column} and some have none: label all, or none.")
    series_ids, numbers = index.column("series_id").to_pylist(), index.column("slice_number").to_pylist()
    sections = index.column("section").to_pylist()
    return SplitSource(
        kind=SLICE_STORE,
        name=path.name,
        content_hash=_hash(store.content_hash, chosen),
        ids=tuple(f"{series_id}/{number}" for series_id, number in zip(series_ids, numbers, strict=True)),
        labels=tuple(values[label_column]),
        groups=tuple(values[group_column]),
        grouped_by=group_column,
        sites=tuple(values[site_column]) if site_column else (),
        official=tuple(section_name(name, path) for name in sections) if all(sections) else (),
    )


def _from_medmnist(path: Path) -> SplitSource:
    """A MedMNIST file with its published split; a table of volumes beside it tells what belongs together."""
    items = read_medmnist_items(path)
    return SplitSource(
        kind=MEDMNIST,
        name=path.name,
        content_hash=_hash(items.sha256, items.volumes) if items.volumes else items.sha256,
        ids=items.ids,
        labels=items.labels,
        groups=items.volumes or items.ids,
        grouped_by="volume" if items.volumes else "item",
        official=tuple(_SECTION_NAMES[part] for part in items.parts),
        resplit_refusal="" if items.volumes else _NO_VOLUMES,
    )


def section_name(name: str, path: Path) -> str:
    """The section that a table calls by this name, such as ``"train"``.

    Raises:
        SplitError: there is no such section.
    """
    if name.lower() not in _SECTION_NAMES:
        raise SplitError(f"{path.name} puts items into {name!r}; sections are {', '.join(_SECTION_NAMES)}.")
    return _SECTION_NAMES[name.lower()]


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _few(names: Sequence[Any], count: int = _NAMED) -> str:
    return ", ".join(repr(name) for name in names[:count]) + (", ..." if len(names) > count else "")
