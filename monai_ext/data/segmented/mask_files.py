"""Finds images and their masks: in a table, in two folders whose files have the same names, or beside a slice store."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ext.data.sources.below import names_below
from monai_ext.data.sources.folder_scan import NIFTI_SUFFIXES, scan_folder
from monai_ext.data.sources.open import SLICE_STORE, find_data
from monai_ext.data.splits.items import section_name
from monai_ext.data.tables import Table, read_table
from monai_ext.errors import DatasetError, SplitError
from monai_ext.foreign_text import listed

__all__ = ["MASK_COLUMNS", "MaskFiles", "find_mask_files", "has_masks"]

logger = logging.getLogger(__name__)

PICTURES, NIFTI = "pictures", "NIfTI"
TABLE_NAME = "masks.csv"
MASK_COLUMNS = {"file": "file", "mask": "mask", "group": "patient_id", "split": "split"}
_FOLDERS = (("images", "masks"), ("images", "labels"), ("imagesTr", "labelsTr"))
_ACCEPTED = (
    "a table (.csv, or a folder with masks.csv) with the columns file and mask, and patient_id and split where they are"
    " known; a folder with the folders images and masks (or imagesTr and labelsTr) in which an image and its mask have"
    " the same name; or a slice store with such a masks.csv, whose files are called SERIES_ID/SLICE_NUMBER. Images are"
    " pictures with masks as PNG, or NIfTI volumes with label maps"
)
_NAMED = 3
_FIRST_CHANNEL = "_0000"


@dataclass(frozen=True)
class MaskFiles:
    """Images with their masks; all sequences have one entry an image.

    Attributes:
        root: the folder that names are relative to.
        kind: ``"pictures"``, ``"NIfTI"``, or ``"slice store"``, whose images are slices.
        name: of the table or folder.
        images: names of the images; of a store, ``SERIES_ID/SLICE_NUMBER``.
        masks: names of the masks' files.
        groups: what must not be on two sides of a split; empty where the store says it.
        grouped_by: what a group is.
        official: the published sections; empty where there are none.
    """

    root: Path
    kind: str
    name: str
    images: tuple[str, ...]
    masks: tuple[str, ...]
    groups: tuple[str, ...]
    grouped_by: str
    official: tuple[str, ...] = ()


def has_masks(path: str | Path) -> bool:
    """Whether what lies at a path has masks; nothing but a table's first line is read.

    Raises:
        DatasetError: there is nothing that may be looked at.
    """
    place = find_data(path)
    if place.path.suffix.lower() == ".csv" and place.path.is_file():
        try:
            header = read_table(place.path).header
        except SplitError:
            return False
        return MASK_COLUMNS["mask"] in header and "label" not in header
    return place.path.is_dir() and ((place.path / TABLE_NAME).is_file() or _folders(place.path) is not None)


def find_mask_files(path: str | Path, *, columns: Mapping[str, str | None] | None = None) -> MaskFiles:
    """Find images and masks at a path. Images without a mask are left out, and counted in the log.

    Args:
        path: see the message of the error for what is accepted.
        columns: names of a table's columns that differ from ``MASK_COLUMNS``; a group of None says that every image is
            of another patient.

    Raises:
        DatasetError: there are no masks, or masks without an image.
        SplitError: a table cannot be read, or lacks a column, a value or files.
        ValueError: ``columns`` names what there is not.
    """
    unknown = set(columns or {}) - set(MASK_COLUMNS)
    if unknown:
        raise ValueError(
            f"columns names the table's columns for {', '.join(MASK_COLUMNS)}; received {dict(columns or {})}."
        )
    place = find_data(path)
    if place.path.is_file() and place.path.suffix.lower() == ".csv":
        return _from_table(read_table(place.path, holding="table of masks"), columns or {}, is_store=False)
    if (place.path / TABLE_NAME).is_file():
        table = read_table(place.path / TABLE_NAME, holding="table of masks")
        return _from_table(table, columns or {}, is_store=place.kind == SLICE_STORE)
    folders = _folders(place.path) if place.path.is_dir() else None
    if folders is None:
        raise DatasetError(f"{place.path} has no masks: give {_ACCEPTED}.")
    return _from_folders(place.path, *folders)


def _from_table(table: Table, columns: Mapping[str, str | None], *, is_store: bool) -> MaskFiles:
    names = MASK_COLUMNS | dict(columns)
    root = table.path.parent
    masks = _cells(table, str(names["mask"]))
    kept = [place for place, mask in enumerate(masks) if mask]
    if not kept:
        raise DatasetError(f"No line of {table.path.name} names a mask: give {_ACCEPTED}.")
    _report_without_mask(len(masks) - len(kept), table.path.name)
    images = [_cells(table, str(names["file"]))[place] for place in kept]
    if "" in images:
        raise DatasetError(
            f"{table.path.name} has masks without an image, such as {masks[kept[images.index('')]]}: name the image in"
            f" the column {names['file']!r}, or take the line out."
        )
    group = names["group"]
    if group is not None and group not in table.header and "group" in columns:
        raise SplitError(f"{table.path.name} has no column {group!r}; its columns are {listed(table.header)}.")
    groups = _kept(table, group, kept) if group in table.header else ()
    official = _kept(table, names["split"], kept) if names["split"] in table.header else ()
    if is_store and group in table.header:
        raise SplitError(
            f"{table.path.name} names patients, but those of a slice store are in its index: leave {group!r} out."
        )
    if not groups and not is_store:
        logger.info("%s names no patients: every image stands for itself.", table.path.name)
    plain = tuple(images) if is_store else names_below(root, images, table=table.path.name)
    return MaskFiles(
        root=root,
        kind=SLICE_STORE if is_store else _kind(plain, table.path.name),
        name=table.path.name if not is_store else root.name,
        images=plain,
        masks=names_below(root, [masks[place] for place in kept], table=table.path.name),
        groups=groups or (() if is_store else plain),
        grouped_by=str(group) if groups else "patient_id" if is_store else "image",
        official=tuple(section_name(value, table.path) for value in official),
    )


def _kept(table: Table, column: str | None, kept: Sequence[int]) -> tuple[str, ...]:
    cells = _cells(table, str(column))
    values = tuple(cells[place] for place in kept)
    if "" in values:
        line = table.lines[kept[values.index("")]]
        raise SplitError(f"Line {line} of {table.path.name} has no {column}: complete it, or take the line out.")
    return values


def _cells(table: Table, column: str) -> tuple[str, ...]:
    """A column in which cells may be empty."""
    if column not in table.header:
        raise SplitError(f"{table.path.name} has no column {column!r}; its columns are {listed(table.header)}.")
    place = table.header.index(column)
    return tuple(row[place].strip() for row in table.rows)


def _folders(root: Path) -> tuple[str, str] | None:
    return next((pair for pair in _FOLDERS if all((root / name).is_dir() for name in pair)), None)


def _from_folders(root: Path, images: str, masks: str) -> MaskFiles:
    found = {name: scan_folder(root / name) for name in (images, masks)}
    kinds = {name: scan.kind for name, scan in found.items()}
    if len(set(kinds.values())) > 1 or kinds[images] not in (PICTURES, NIFTI):
        raise DatasetError(
            f"The folder {images} of {root} holds {kinds[images]} and {masks} holds {kinds[masks]}: images are pictures"
            " with masks as pictures, or NIfTI volumes with label maps as NIfTI volumes. DICOM becomes NIfTI with"
            " dcm2niix, other volumes with SimpleITK."
        )
    image_of, mask_of = (
        {_stem(file.relative_to(root / name), is_image=name == images): file for file in found[name].files}
        for name in (images, masks)
    )
    orphans = sorted(set(mask_of) - set(image_of))
    if orphans:
        raise DatasetError(
            f"{root} has {len(orphans)} masks without an image, such as {', '.join(orphans[:_NAMED])}: an image and its"
            f" mask have the same name in {images} and {masks}. Add the images, or move these masks out of the folder."
        )
    stems = sorted(mask_of)
    _report_without_mask(len(image_of) - len(stems), root.name)
    groups = tuple(os.path.dirname(stem) or stem for stem in stems)
    return MaskFiles(
        root=root,
        kind=kinds[images],
        name=root.resolve().name,
        images=tuple(image_of[stem].relative_to(root).as_posix() for stem in stems),
        masks=tuple(mask_of[stem].relative_to(root).as_posix() for stem in stems),
        groups=groups,
        grouped_by="folder" if groups != tuple(stems) else "image",
    )


def _stem(path: Path, *, is_image: bool) -> str:
    """What an image and its mask have in common; nnU-Net numbers the channels of images."""
    name = path.as_posix()
    suffix = next((ending for ending in reversed(NIFTI_SUFFIXES) if name.lower().endswith(ending)), path.suffix)
    stem = name[: len(name) - len(suffix)]
    return stem.removesuffix(_FIRST_CHANNEL) if is_image else stem


def _kind(names: Sequence[str], table: str) -> str:
    is_nifti = {name.lower().endswith(NIFTI_SUFFIXES) for name in names}
    if len(is_nifti) > 1:
        raise DatasetError(f"{table} names pictures and NIfTI volumes, which do not share a gray scale: give one kind.")
    return NIFTI if is_nifti.pop() else PICTURES


def _report_without_mask(count: int, name: str) -> None:
    if count:
        logger.info("%d images of %s have no mask and are left out.", count, name)
