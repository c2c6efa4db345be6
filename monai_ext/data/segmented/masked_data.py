"""Images with masks as items of a split: opened once, every mask read and compared with its image."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from monai_ext.data.dicom.refusals import Refusal
from monai_ext.data.labelled.labels import LabelledData
from monai_ext.data.segmented.label_values import MaskValue, MaskValues, mask_picture, mask_volume
from monai_ext.data.segmented.mask_files import NIFTI, MaskFiles, find_mask_files
from monai_ext.data.sources.nifti import NiftiSource, NiftiVolume
from monai_ext.data.sources.open import SLICE_STORE, find_data
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.data.sources.source import SliceSource, fingerprint_files
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.sources.volume_file import VolumeGrid
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.errors import DatasetError

__all__ = ["MaskedData", "MaskedSlice", "open_masked"]

_MOST_APART = 0.1
"""Of a voxel's shortest side: how far the corners of a label map may lie from those of its image."""

_FEWEST_GROUPS = 5
"""Of which a split into fifths can be made."""

PRESENT, ABSENT = "present", "absent"


@dataclass(frozen=True)
class MaskedSlice:
    """One mask, compressed, and where it belongs.

    Attributes:
        case: what metrics are computed of: the picture, or the volume that the slice is of.
        spacing_mm: of rows, columns and slices in mm; None where it is not known, as of pictures.
        shape: rows and columns.
        packed: the class numbers, uint8, deflated.
    """

    case: str
    spacing_mm: tuple[float, float, float] | None
    shape: tuple[int, int]
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, numbers: np.ndarray, *, case: str, spacing_mm: tuple[float, float, float] | None = None) -> MaskedSlice:
        """Compress class numbers (rows, columns), uint8."""
        rows, columns = numbers.shape
        return cls(case, spacing_mm, (rows, columns), zlib.compress(np.ascontiguousarray(numbers).tobytes(), 1))

    @property
    def is_marked(self) -> bool:
        """Whether anything but background is in it."""
        return bool(self.numbers.any())

    @property
    def numbers(self) -> np.ndarray:
        """Class numbers (rows, columns), uint8; 0 is the background."""
        return np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class MaskedData(LabelledData):
    """Slices with masks; made by :func:`open_masked`. The label of a slice says whether anything is
    marked in its group, by which splits are stratified.

    Attributes:
        files: where images and masks lie.
        slices: of every item, its mask.
        class_names: background first.
    """

    files: MaskFiles
    slices: tuple[MaskedSlice, ...] = field(repr=False)
    class_names: tuple[str, ...]

    @cached_property
    def source(self) -> SliceSource:
        """The images, in the order of the items; those of a store in the order of its index."""
        if self.files.kind == SLICE_STORE:
            return StoreSource(self.files.root)
        paths = [self.files.root / name for name in self.files.images]
        return (
            NiftiSource(self.files.root, paths) if self.files.kind == NIFTI else PictureSource(self.files.root, paths)
        )

    def source_places(self, places: Sequence[int]) -> tuple[int, ...]:
        """Positions in ``source`` of the items at these places."""
        if self.files.kind != SLICE_STORE:
            return tuple(places)
        index = open_split_source(self.place)
        return tuple(index.positions(self.items.ids[place] for place in places))


def open_masked(
    path: str | Path,
    *,
    class_names: Sequence[str] = ("background", "lesion"),
    mask_values: Sequence[MaskValue] | None = None,
    columns: Mapping[str, str | None] | None = None,
) -> MaskedData:
    """Open images with masks; all masks are read, and compared with their images.

    Args:
        path: see :func:`~monai_ext.data.segmented.mask_files.find_mask_files`.
        class_names: background first.
        mask_values: of each class its value, or values, in the masks; None for the numbers of the classes, or, of two
            classes, 0 and white.
        columns: names of a table's columns that differ from the usual ones.

    Raises:
        DatasetError: there are no masks, a mask has no image, another size or grid, values that are no class, or
            nothing is marked in any mask.
        SplitError: a table cannot be read, or lacks a column, a value or files.
        ValueError: classes and values do not fit, or ``columns`` names what there is not.
    """
    files = find_mask_files(path, columns=columns)
    values = MaskValues(class_names, mask_values)
    read = {NIFTI: _volumes, SLICE_STORE: _stored}.get(files.kind, _pictures)
    ids, slices, groups = [], [], []
    for name, group, masked in read(files, values):
        ids.append(name)
        groups.append(group)
        slices.append(masked)
    if not any(masked.is_marked for masked in slices):
        raise DatasetError(
            f"Nothing is marked in any of the {len(files.masks)} masks of {files.name}: all their pixels are"
            f" {class_names[0]}. Look whether these are the right files, and mask_values the right values."
        )
    labels = _strata(slices, groups)
    section_of = dict(zip(files.images, files.official, strict=bool(files.official)))
    official = tuple(section_of[masked.case] for masked in slices) if files.official else ()
    items = SplitSource(
        kind=SLICE_STORE if files.kind == SLICE_STORE else "masks",
        name=files.name,
        content_hash=_content_hash(files, labels, groups, official),
        ids=tuple(ids),
        labels=labels,
        groups=tuple(groups),
        grouped_by=files.grouped_by,
        official=official,
    )
    place = replace(find_data(path), root=files.root)
    return MaskedData(items, place, files, tuple(slices), tuple(class_names))


def _strata(slices: Sequence[MaskedSlice], groups: Sequence[str]) -> tuple[str, ...]:
    """Of every slice, whether anything is marked in its group; groups of a kind that is too rare are not told apart."""
    marked = {group for masked, group in zip(slices, groups, strict=True) if masked.is_marked}
    if min(len(marked), len(set(groups) - marked)) < _FEWEST_GROUPS:
        return (PRESENT,) * len(slices)
    return tuple(PRESENT if group in marked else ABSENT for group in groups)


Read = Iterator[tuple[str, str, MaskedSlice]]


def _pictures(files: MaskFiles, values: MaskValues) -> Read:
    for image, mask, group in zip(files.images, files.masks, files.groups, strict=True):
        numbers = _numbers(files.root / mask, mask, values)
        try:
            with Image.open(files.root / image) as picture:
                size = picture.height, picture.width
        except Exception as error:  # Pillow's decoders raise errors of many types on damaged files
            raise _unreadable("image", image, error) from error
        _compare_sizes(image, size, mask, numbers.shape)
        yield image, group, MaskedSlice.of(numbers, case=image)


def _stored(files: MaskFiles, values: MaskValues) -> Read:
    store = StoreSource(files.root).store
    index = open_split_source(files.root)
    rows = store.columns(["rows", "columns", "row_spacing_mm", "column_spacing_mm", "slice_spacing_mm"]).to_pylist()
    for image, mask, place in zip(files.images, files.masks, index.positions(files.images), strict=True):
        numbers = _numbers(files.root / mask, mask, values)
        row = rows[place]
        _compare_sizes(image, (row["rows"], row["columns"]), mask, numbers.shape)
        sides = [row[f"{name}_spacing_mm"] for name in ("row", "column", "slice")]
        spacing = (float(sides[0]), float(sides[1]), float(sides[2] or 1)) if sides[0] and sides[1] else None
        yield image, index.groups[place], MaskedSlice.of(numbers, case=image, spacing_mm=spacing)


def _volumes(files: MaskFiles, values: MaskValues) -> Read:
    for image, mask, group in zip(files.images, files.masks, files.groups, strict=True):
        try:
            scan = NiftiVolume.open(files.root / image)
        except (Refusal, OSError) as error:
            raise _unreadable("volume", image, error) from None
        if not scan.can_be_negative:
            raise _unreadable("volume", image, "its type holds no negative values, so it is not in Hounsfield units")
        try:
            labels = NiftiVolume.open(files.root / mask)
            _compare_grids(image, scan.grid, mask, labels.grid)
            planes = mask_volume(labels)
        except (Refusal, OSError) as error:
            raise _unreadable("label map", mask, error) from None
        sides = scan.grid.spacing()
        spacing = sides["row_spacing_mm"], sides["column_spacing_mm"], sides["slice_spacing_mm"]
        for number, plane in enumerate(planes):
            masked = MaskedSlice.of(_as_numbers(plane, mask, values), case=image, spacing_mm=spacing)
            yield f"{image}#{number}", group, masked


def _numbers(path: Path, name: str, values: MaskValues) -> np.ndarray:
    try:
        read = mask_picture(path)
    except Exception as error:  # Pillow's decoders raise errors of many types on damaged files
        raise _unreadable("mask", name, error) from error
    return _as_numbers(read, name, values)


def _as_numbers(read: np.ndarray, name: str, values: MaskValues) -> np.ndarray:
    try:
        return values.numbers(read)
    except ValueError as error:
        raise _unreadable("mask", name, error) from None


def _compare_sizes(image: str, size: tuple[int, ...], mask: str, other: tuple[int, ...]) -> None:
    if tuple(size) != tuple(other):
        raise DatasetError(
            f"The mask {{mask}} has {other[0]} x {other[1]} pixels (rows x columns) and its image {{image}} has"
            f" {size[0]} x {size[1]}: they do not belong together, or one was resized. Export both at the same size.",
            mask=mask,
            image=image,
        )


def _compare_grids(image: str, grid: VolumeGrid, mask: str, other: VolumeGrid) -> None:
    shapes = [(*of.rows_columns, of.slices) for of in (grid, other)]
    reason = ""
    if shapes[0] != shapes[1]:
        reason = "has {} voxels and its image {}".format(*(" x ".join(map(str, shape)) for shape in shapes[::-1]))
    else:
        apart = np.linalg.norm(_corners(grid) - _corners(other), axis=1).max()
        if apart > _MOST_APART * min(np.linalg.norm(grid.affine[:3, :3], axis=0)):
            reason = f"lies up to {apart:.3g} mm beside its image"
    if reason:
        raise DatasetError(
            f"The label map {{mask}} {reason} ({{image}}): a label map has the grid of its image. Resample it to the"
            " image (SimpleITK.Resample with nearest neighbours), or find the image that it was drawn on.",
            mask=mask,
            image=image,
        )


def _corners(grid: VolumeGrid) -> np.ndarray:
    """Of the volume's middle-of-voxel box, in mm, in an order that does not depend on how it is stored."""
    import nibabel

    turned = nibabel.orientations.inv_ornt_aff(nibabel.io_orientation(grid.affine), grid.shape)
    shape = np.array([grid.shape[axis] for axis in grid.axes])
    places = np.stack(np.meshgrid(*([0, side - 1] for side in shape), indexing="ij"), axis=-1).reshape(-1, 3)
    return nibabel.affines.apply_affine(grid.affine @ turned, places)


def _unreadable(what: str, name: str, error: object) -> DatasetError:
    reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else error
    return DatasetError(
        f"The {what} {{file}} cannot be used: {{reason}}. Correct it, or take the image and its mask out, then start"
        " again.",
        file=name,
        reason=reason,
    )


def _content_hash(files: MaskFiles, labels: Sequence[str], groups: Sequence[str], official: Sequence[str]) -> str:
    masks = fingerprint_files(files.root, [files.root / name for name in files.masks])
    if files.kind == SLICE_STORE:
        images = StoreSource(files.root).fingerprint
    else:
        images = fingerprint_files(files.root, [files.root / name for name in files.images])
    return hashlib.sha256(json.dumps([images, masks, files.images, labels, groups, official]).encode()).hexdigest()
