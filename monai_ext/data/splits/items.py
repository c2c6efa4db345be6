"""What splits are made of: items with label, patient and site, of a labels table, a slice store, or a MedMNIST file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.pseudonyms import group_pseudonyms
from monai_ext.errors import SplitError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SECTIONS", "SplitSource", "open_split_source"]

SECTIONS = ("training", "validation", "test")
_SECTION_NAMES = {"train": "training", "val": "validation", "valid": "validation"} | {name: name for name in SECTIONS}
_ACCEPTED = "a labels table (.csv) beside its pictures, a slice store, or a MedMNIST file (.npz)"
_NAMED, _LISTED = 3, 100
_NO_VOLUMES = "it does not say which items are of one patient; slices of one volume would be on two sides"


@dataclass(frozen=True)
class SplitSource:
    """Items that can be put into sections; all sequences have one entry an item.

    Attributes:
        kind: ``"labels table"``, ``"slice store"`` or ``"MedMNIST"``.
        name: file or folder name, without the path that leads there.
        content_hash: changes with the items, their labels, groups, sites, and with the images as far as is cheap.
        ids: of every item: path below the table's folder, ``series_id/slice_number``, or ``train/00042``.
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
            twice = [item for place, item in enumerate(self.ids) if self._places[item] != place]
            raise SplitError(f"{self.name} names {_few(twice)} more than once: every item must have one row.")

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
        if self.kind == "slice store":
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
    path: str | Path,
    *,
    id_column: str = "file",
    label_column: str = "label",
    group_column: str | None = "patient_id",
    site_column: str | None = None,
    split_column: str = "split",
) -> SplitSource:
    """Open what splits are made of.

    Args:
        path: a labels table (CSV) whose ids are paths of pictures beside it, a slice store, or a MedMNIST file (.npz).
        id_column: the table's column of items; not used for the other kinds.
        label_column: column of the class, also in a slice store; a store without labels has the one class ``""``.
        group_column: column of the patient, or of the volume; None declares that every item is a patient of its own.
        site_column: column of the hospital or scanner.
        split_column: the table's column with the published split; may be missing.

    Raises:
        SplitError: the source cannot be read, lacks a column, a value or a picture, or names an item twice.
    """
    from monai_ext.data.store.reader import is_slice_store

    path = Path(path).expanduser()
    if is_slice_store(path):
        return _from_store(path, label_column, group_column or "patient_id", site_column)
    if not path.is_file() or path.suffix.lower() not in (".csv", ".npz"):
        raise SplitError(f"No split can be made of {path}: {_ACCEPTED} is needed.")
    if path.suffix.lower() == ".npz":
        return _from_medmnist(path)
    return _from_table(path, id_column, label_column, group_column, site_column, split_column)


def _from_table(
    path: Path, id_column: str, label_column: str, group_column: str | None, site_column: str | None, split_column: str
) -> SplitSource:
    table = _read_csv(path)
    if group_column is not None and group_column not in table:
        raise SplitError(
            f"{path.name} has no column {group_column!r}, so nothing tells which items are of one patient. Its columns"
            f" are {', '.join(table.columns)}: name one with --group-column, or, if every item is a patient of its own,"
            " say so with --ungrouped."
        )
    ids = _column(table, id_column, path)
    groups = _column(table, group_column, path) if group_column else ids
    labels = _column(table, label_column, path)
    sites = _column(table, site_column, path) if site_column else ()
    published = _column(table, split_column, path) if split_column in table else ()
    official = tuple(_section(name, path) for name in published)
    return SplitSource(
        kind="labels table",
        name=path.name,
        content_hash=_hash(_fingerprint(path, ids), ids, labels, groups, sites, official),
        ids=ids,
        labels=labels,
        groups=groups,
        grouped_by=group_column or "item",
        sites=sites,
        official=official,
    )


def _from_store(path: Path, label_column: str, group_column: str, site_column: str | None) -> SplitSource:
    from monai_ext.data.store.format import INDEX_COLUMNS
    from monai_ext.data.store.reader import SliceStore

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
        kind="slice store",
        name=path.name,
        content_hash=_hash(store.content_hash, chosen),
        ids=tuple(f"{series_id}/{number}" for series_id, number in zip(series_ids, numbers, strict=True)),
        labels=tuple(values[label_column]),
        groups=tuple(values[group_column]),
        grouped_by=group_column,
        sites=tuple(values[site_column]) if site_column else (),
        official=tuple(_section(name, path) for name in sections) if all(sections) else (),
    )


def _from_medmnist(path: Path) -> SplitSource:
    """A MedMNIST file as published: ``train_images``, ``train_labels``, and the same for ``val`` and ``test``.

    A table ``<name>_volumes.csv`` beside it, with columns ``item`` and ``volume``, tells what belongs together.
    """
    ids: list[str] = []
    labels: list[str] = []
    official: list[str] = []
    try:
        with np.load(path) as arrays:
            for published in ("train", "val", "test"):
                values = np.asarray(arrays[f"{published}_labels"])
                if values.ndim != 1 and values.shape[1:] != (1,):
                    raise SplitError(
                        f"{path.name} has {values.shape[1]} labels an item; one class an item is supported."
                    )
                ids += [f"{published}/{number:05d}" for number in range(len(values))]
                labels += [str(int(value)) for value in values.ravel()]
                official += [_SECTION_NAMES[published]] * len(values)
        digest = _sha256(path)
    except SplitError:
        raise
    except Exception as error:  # zipfile, numpy and the file system have errors of many types for a damaged file
        raise SplitError(f"{path} cannot be read as a MedMNIST file: {error!r}. Download it again.") from error
    volumes = _volumes(path.with_name(f"{path.stem}_volumes.csv"), ids)
    return SplitSource(
        kind="MedMNIST",
        name=path.name,
        content_hash=_hash(digest, volumes) if volumes else digest,
        ids=tuple(ids),
        labels=tuple(labels),
        groups=volumes or tuple(ids),
        grouped_by="volume" if volumes else "item",
        official=tuple(official),
        resplit_refusal="" if volumes else _NO_VOLUMES,
    )


def _volumes(path: Path, ids: Sequence[str]) -> tuple[str, ...]:
    """The volume of every item; empty where there is no table of them."""
    if not path.is_file():
        return ()
    table = _read_csv(path)
    known = dict(zip(_column(table, "item", path), _column(table, "volume", path), strict=True))
    missing = [item for item in ids if item not in known]
    if missing:
        raise SplitError(
            f"{len(missing)} of {len(ids)} items have no volume in {path.name}, such as {_few(missing)}: complete it."
        )
    return tuple(known[item] for item in ids)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SplitError(f"The labels table {path} cannot be read: {error}.") from error


def _column(table: pd.DataFrame, name: str, path: Path) -> tuple[str, ...]:
    if name not in table:
        raise SplitError(f"{path.name} has no column {name!r}; its columns are {', '.join(table.columns)}.")
    values = tuple(table[name].str.strip())
    if "" in values:
        raise SplitError(
            f"Line {values.index('') + 2} of {path.name} has no {name}: complete it, or take the line out."
        )
    return values


def _section(name: str, path: Path) -> str:
    if name.lower() not in _SECTION_NAMES:
        raise SplitError(f"{path.name} puts items into {name!r}; sections are {', '.join(_SECTION_NAMES)}.")
    return _SECTION_NAMES[name.lower()]


def _fingerprint(path: Path, ids: Sequence[str]) -> str:
    from monai_ext.data.sources.source import fingerprint_files

    files = [path.parent / item for item in ids]
    missing = [file.relative_to(path.parent).as_posix() for file in files if not file.is_file()]
    if missing:
        raise SplitError(
            f"{path.name} names {len(missing)} files that are not below {path.parent}: {_few(missing, _LISTED)}. Put"
            " the table beside its pictures, and complete them."
        )
    return fingerprint_files(path.parent, files)


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _few(names: Sequence[Any], count: int = _NAMED) -> str:
    return ", ".join(repr(name) for name in names[:count]) + (", ..." if len(names) > count else "")
