"""Volumes as axial slices: what NIfTI, MetaImage and NRRD have in common."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.sources.source import SliceSource, describe_sizes, fingerprint_files, group_name
from monai_ext.errors import DatasetError

__all__ = ["VolumeFile", "VolumeGrid", "VolumeSource"]

logger = logging.getLogger(__name__)

_RIGHT, _ANTERIOR, _SUPERIOR = 0, 1, 2


@dataclass(frozen=True)
class VolumeGrid:
    """Where the voxels of a volume lie.

    Args:
        shape: voxels along the axes of the data.
        affine: (4, 4) from indices to mm in RAS: right, anterior, superior.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @classmethod
    def of(cls, shape: Sequence[int], affine: np.ndarray) -> VolumeGrid:
        """Check shape and affine; a fourth axis of one is left out.

        Raises:
            Refusal: it has not three dimensions, or its axes point nowhere.
        """
        import nibabel

        whole = tuple(map(int, shape))
        if len(whole) > 3 and set(whole[3:]) == {1}:
            whole = whole[:3]
        if len(whole) != 3 or min(whole) < 1:
            raise Refusal(SkipReason.NOT_A_VOLUME, f"its shape is {' x '.join(map(str, whole))}")
        affine = np.asarray(affine, dtype=np.float64)
        if not np.isfinite(affine).all() or np.isnan(nibabel.io_orientation(affine)).any():
            raise Refusal(SkipReason.NO_GEOMETRY, "its affine does not say which axis points where")
        return cls(whole, affine)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axis of the data that runs along right, anterior and superior."""
        import nibabel

        orientation = nibabel.io_orientation(self.affine)
        return tuple(int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3))

    @property
    def slices(self) -> int:
        """Number of axial slices."""
        return self.shape[self.axes[_SUPERIOR]]

    @property
    def rows_columns(self) -> tuple[int, int]:
        """Shape of an axial slice."""
        axes = self.axes
        return self.shape[axes[_ANTERIOR]], self.shape[axes[_RIGHT]]

    def box(self, number: int) -> tuple[list[int], list[int]]:
        """Index of the first voxel, and size in voxels, of an axial slice, counted from the feet."""
        along = self.axes[_SUPERIOR]
        start, size = [0, 0, 0], list(self.shape)
        start[along] = self.slices - 1 - number if self._is_turned(_SUPERIOR) else number
        size[along] = 1
        return start, size

    def radiological(self, plane: np.ndarray) -> np.ndarray:
        """Lay a slice, in the order of the data, out with anterior at the top and the patient's right on the left."""
        axes = self.axes
        plane = plane.reshape([length for axis, length in enumerate(self.shape) if axis != axes[_SUPERIOR]])
        if axes[_RIGHT] < axes[_ANTERIOR]:
            plane = plane.T
        rows = slice(None) if self._is_turned(_ANTERIOR) else slice(None, None, -1)
        columns = slice(None) if self._is_turned(_RIGHT) else slice(None, None, -1)
        return np.ascontiguousarray(plane[rows, columns])

    def spacing(self) -> dict[str, float]:
        """Distances in mm along the patient's axes, and the height of the lowest slice."""
        axes, lengths = self.axes, np.linalg.norm(self.affine[:3, :3], axis=0)
        along = axes[_SUPERIOR]
        last = self.affine[_SUPERIOR, along] * (self.shape[along] - 1)
        return {
            "row_spacing_mm": float(lengths[axes[_ANTERIOR]]),
            "column_spacing_mm": float(lengths[axes[_RIGHT]]),
            "slice_spacing_mm": float(lengths[along]),
            "first_mm": float(self.affine[_SUPERIOR, 3] + min(0.0, last)),
        }

    def _is_turned(self, axis: int) -> bool:
        return bool(self.affine[axis, self.axes[axis]] < 0)


class VolumeFile(ABC):
    """One volume; made by :meth:`open`, which reads its header only.

    Args:
        path: the file, or its header where the values are another.
        grid: where its voxels lie.
        is_whole: whether one slice costs as much as all, as in a compressed file.
        can_be_negative: whether its type holds negative values, as Hounsfield units need.
        says_hounsfield: whether the file says that its values are Hounsfield units.
        files: all its files.
        is_isolated: whether native code reads it in a process of its own.
    """

    @property
    @abstractmethod
    def format_code(self) -> str:
        """Its format as a short code: ``"nifti"``, ``"metaimage"`` or ``"nrrd"``."""

    def __init__(
        self,
        path: Path,
        grid: VolumeGrid,
        *,
        is_whole: bool,
        can_be_negative: bool,
        says_hounsfield: bool = False,
        files: tuple[Path, ...] = (),
        is_isolated: bool = False,
    ) -> None:
        self.path, self.grid = path, grid
        self.is_whole, self.can_be_negative, self.says_hounsfield = is_whole, can_be_negative, says_hounsfield
        self.files, self.is_isolated = files or (path,), is_isolated

    @classmethod
    @abstractmethod
    def open(cls, path: Path, *, is_isolated: bool = True) -> VolumeFile:
        """Read the header.

        Args:
            path: the file.
            is_isolated: let native code that may crash run in a process of its own.

        Raises:
            Refusal: it is damaged, no volume, or not of the wanted modality or unit.
            OSError: it cannot be read.
        """

    @abstractmethod
    def values(self) -> np.ndarray:
        """All values in the order of the data.

        Raises:
            Refusal: it is damaged or cut.
            OSError: it cannot be read.
        """

    @abstractmethod
    def slab(self, number: int) -> np.ndarray:
        """Values of one axial slice, counted from the feet, in the order of the data.

        Raises:
            Refusal: it is damaged or cut.
            OSError: it cannot be read.
        """

    def plane(self, number: int, values: np.ndarray | None = None) -> np.ndarray:
        """One axial slice as a radiologist sees it, float32 (rows, columns).

        Args:
            number: counted from the feet.
            values: all values, where they were read already.

        Raises:
            Refusal: it is damaged or cut, or has values that are no numbers.
            OSError: it cannot be read.
        """
        if values is None:
            slab = self.slab(number)
        else:
            start, size = self.grid.box(number)
            slab = values[tuple(slice(first, first + count) for first, count in zip(start, size, strict=True))]
        plane = self.grid.radiological(np.asarray(slab, dtype=np.float32))
        wrong = int(plane.size - np.isfinite(plane).sum())
        if wrong:
            raise Refusal(SkipReason.NOT_FINITE, f"{wrong} pixels of axial slice {number}")
        return plane


class VolumeSource(SliceSource):
    """Axial slices of volumes in any storage order, as a radiologist sees them (anterior up, right on the left).

    A slice of an uncompressed file is read alone. A compressed one has to be decompressed as a whole: the last one is
    kept, and the dataset is told which slices come with it. Volumes of an unsigned type cannot hold Hounsfield units;
    they are taken for the label maps that often lie beside a scan, and left out with a warning.

    Args:
        root: folder that names are relative to.
        files: the volumes, sorted.

    Raises:
        DatasetError: a file is no volume of three dimensions, or only label maps are there.
    """

    volume_file: type[VolumeFile]
    grouped_by = "volume"
    dtype = np.dtype(np.int16)

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root = root
        opened = [self._open(file) for file in files]
        self._volumes = tuple(volume for volume in opened if volume.can_be_negative)
        self._left_out = len(opened) - len(self._volumes)
        self._report_label_maps([volume.path for volume in opened if not volume.can_be_negative])
        self._ends = list(accumulate(volume.grid.slices for volume in self._volumes))
        names = [(group_name(one.path.relative_to(root).as_posix()), one.grid.slices) for one in self._volumes]
        super().__init__(
            root,
            held_together=[name for name, slices in names for _ in range(slices)],
            fingerprint=fingerprint_files(root, [file for volume in self._volumes for file in volume.files]),
        )
        self._decoded: tuple[int, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_decoded": None}

    def read(self, index: int) -> np.ndarray:
        """Decode one axial slice: float32 (rows, columns) in HU."""
        number, position = self._locate(index)
        volume = self._volumes[number]
        try:
            return volume.plane(position, self._values(number) if volume.is_whole else None)
        except (Refusal, OSError) as error:
            raise self._unreadable(volume.path, error) from None

    def decoded_together(self, index: int) -> range:
        """The slices of the same volume when it is compressed, else the slice alone."""
        number, _ = self._locate(index)
        volume = self._volumes[number]
        if not volume.is_whole:
            return range(index, index + 1)
        return range(self._ends[number] - volume.grid.slices, self._ends[number])

    def describe(self) -> dict[str, Any]:
        """Volumes, and the sizes of their axial slices."""
        return {
            "volumes": len(self._volumes),
            "label_maps_left_out": self._left_out,
            **describe_sizes(volume.grid.rows_columns for volume in self._volumes),
        }

    def _locate(self, index: int) -> tuple[int, int]:
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number] - self._volumes[number].grid.slices)

    def _values(self, number: int) -> np.ndarray:
        if self._decoded is None or self._decoded[0] != number:
            self._decoded = None
            values = self._volumes[number].values()
            if values.min() >= 0:
                raise Refusal(SkipReason.LABEL_MAP, "it has no value below 0")
            self._decoded = (number, values)
        return self._decoded[1]

    def _open(self, file: Path) -> VolumeFile:
        try:
            return self.volume_file.open(file)
        except (Refusal, OSError) as error:
            raise self._unreadable(file, error) from None

    def _report_label_maps(self, files: Sequence[Path]) -> None:
        if not files:
            return
        logger.warning(
            "%d volumes are left out, such as %s: their type holds no negative values, so they are label maps or not"
            " in HU.",
            len(files),
            files[0].relative_to(self.root),
        )
        if not self._volumes:
            raise self._unreadable(files[0], "it holds no negative values, nor does any other volume of the folder")

    def _unreadable(self, file: Path, error: object) -> DatasetError:
        reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else error
        return DatasetError(
            f"The volume {file.relative_to(self.root)} cannot be read as CT: {reason}. Replace it or move it out of the"
            " folder, then start again."
        )
