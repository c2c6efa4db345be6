"""The near duplicates of a data set as a table, with what they have to do with its patients, classes and sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.checks.near_duplicates import NearDuplicate, find_near_duplicates
from monai_ext.data.labelled.labels import LabelledData, open_labelled
from monai_ext.data.sources.folder_scan import scan_folder
from monai_ext.data.sources.open import IMAGES, SLICE_STORE, DataPlace, find_data
from monai_ext.data.sources.source import HOUNSFIELD_UNITS, SliceSource, fingerprint_files
from monai_ext.data.splits.items import SECTIONS, SplitSource, open_split_source
from monai_ext.data.splits.making import read_near_duplicates
from monai_ext.data.splits.splits import read_splits
from monai_ext.errors import DatasetError
from monai_ext.files import write_durably
from monai_ext.foreign_text import csv_text

__all__ = ["NearDuplicateList", "list_near_duplicates"]

_LOWEST_HU, _HIGHEST_HU = -1000.0, 1000.0


@dataclass(frozen=True)
class NearDuplicateList:
    """Near duplicates among items; made by :func:`list_near_duplicates`.

    Attributes:
        items: all that were compared.
        sections: of every item; empty where there is no split.
        pairs: the most alike first.
    """

    items: SplitSource
    sections: tuple[str, ...]
    pairs: tuple[NearDuplicate, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One row a pair: two ids (which ``splits make --near-duplicates`` reads), how alike, and what they cross."""
        rows = []
        for pair in self.pairs:
            both = (pair.first, pair.second)
            row: dict[str, Any] = {"file_a": self.items.ids[pair.first], "file_b": self.items.ids[pair.second]}
            row |= {"phase_peak": round(pair.phase_peak, 3), "similarity": round(pair.similarity, 3)}
            row["same_group"] = len({self.items.groups[place] for place in both}) == 1
            row |= {f"label_{side}": self.items.labels[place] for side, place in zip("ab", both, strict=True)}
            if self.sections:
                row |= {f"section_{side}": self.sections[place] for side, place in zip("ab", both, strict=True)}
            rows.append(row)
        return rows

    def counts(self) -> dict[str, int]:
        """Numbers of pairs: all, of different groups, labels and sections; and of test items that leak."""
        crossing: dict[str, Sequence[str]] = {"groups": self.items.groups, "labels": self.items.labels}
        if self.sections:
            crossing["sections"] = self.sections
        counts = {"pairs": len(self.pairs)}
        for name, values in crossing.items():
            counts[f"across {name}"] = sum(values[pair.first] != values[pair.second] for pair in self.pairs)
        if self.sections:
            sides = [side for pair in self.pairs for side in ((pair.first, pair.second), (pair.second, pair.first))]
            test = SECTIONS[-1]
            leaking = {item for item, other in sides if self.sections[item] == test != self.sections[other]}
            counts["test items with a near duplicate in training or validation"] = len(leaking)
        return counts

    def agreement(self, reference: str | Path) -> dict[str, int]:
        """Numbers of pairs here, in another list (CSV, two columns of ids), and in both.

        Raises:
            SplitError: the other list cannot be read, or names unknown items.
        """
        listed = {frozenset(self.items.positions(pair)) for pair in read_near_duplicates(reference, self.items)}
        found = {frozenset((pair.first, pair.second)) for pair in self.pairs}
        return {"found": len(found), "listed": len(listed), "both": len(found & listed)}

    def save(self, path: str | Path) -> None:
        """Write the table as CSV; a file that is there is replaced."""
        header = ["file_a", "file_b", "phase_peak", "similarity", "same_group", "label_a", "label_b"]
        header += ["section_a", "section_b"] if self.sections else []
        table = csv_text(header, ([row[name] for name in header] for row in self.rows()))
        path = Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, table.encode())


def list_near_duplicates(
    dataset_dir: str | Path,
    *,
    columns: Mapping[str, str | None] | None = None,
    splits: str | Path | None = None,
    fold: int = 0,
    across_groups: bool = False,
    least_peak: float = 0.2,
    least_similarity: float = 0.4,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> NearDuplicateList:
    """Look for near duplicates in a data set, labelled or not.

    Args:
        dataset_dir: a labels table, a folder with one or with a folder for each class, a folder of pictures, a slice
            store, or a MedMNIST file.
        columns: names of columns that differ, see :func:`~monai_ext.data.open_labelled_images`.
        splits: file by ``splits make``; else sections are those of the published split, if there is one.
        fold: of ``splits``.
        across_groups: leave out pairs of one patient, such as the neighbouring slices of a series.
        least_peak, least_similarity: see :func:`~monai_ext.checks.near_duplicates.find_near_duplicates`.
        progress: is called with how much was done and how much there is to do.

    Raises:
        DatasetError, SplitError: the data or the split cannot be read.
    """
    data = _open(dataset_dir, columns)
    items, source = data.items, data.source
    sections = items.official
    if splits is not None:
        chosen = read_splits(splits, items).folds[fold]
        section_of = {item: name for name in SECTIONS for item in chosen.section(name)}
        sections = tuple(section_of.get(item, "") for item in items.ids)
    pairs = find_near_duplicates(
        [partial(_gray, source, number) for number in range(len(source))],
        least_peak=least_peak,
        least_similarity=least_similarity,
        apart=items.groups if across_groups else None,
        progress=lambda count: progress(count, 3 * len(source)),
    )
    return NearDuplicateList(items, sections, tuple(pairs))


def _gray(source: SliceSource, number: int) -> np.ndarray:
    """A slice (H, W) in [0, 1]."""
    plane = source.read(number)
    if source.values != HOUNSFIELD_UNITS:
        return (plane / source.white).clip(0, 1)
    return ((plane - _LOWEST_HU) / (_HIGHEST_HU - _LOWEST_HU)).clip(0, 1)


def _open(path: str | Path, columns: Mapping[str, str | None] | None) -> LabelledData:
    """The items at a path, whether they have labels or not."""
    place = find_data(path)
    if place.kind == IMAGES:
        return LabelledData(_items_of_folder(place), place)
    if place.kind == SLICE_STORE:
        return LabelledData(open_split_source(place), place)
    return open_labelled(place, columns=columns)


def _items_of_folder(place: DataPlace) -> SplitSource:
    """Pictures below a folder; the folder that they lie in is their label."""
    scan = scan_folder(place.path)
    if scan.kind != "pictures":
        raise DatasetError(
            f"{place.path} holds {scan.kind}; near duplicates are looked for in pictures and slice stores. Make a store"
            " with `python -m monai_ext ingest` first."
        )
    ids = tuple(file.relative_to(scan.root).as_posix() for file in scan.files)
    labels = tuple(item.rpartition("/")[0] for item in ids)
    fingerprint = fingerprint_files(scan.root, scan.files)
    return SplitSource(scan.kind, place.path.name, fingerprint, ids, labels, ids, "picture")
