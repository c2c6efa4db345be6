"""One volume: its grid, and its axial slices; what NIfTI, MetaImage and NRRD have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason

__all__ = ["VolumeFile", "VolumeGrid"]

_RIGHT, _ANTERIOR, _SUPERIOR = 0, 1, 2
_LARGEST_SKEW_DEG = 0.5


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

    @property
    def skew(self) -> str | None:
        """That its axes are not perpendicular, as the end of a sentence; None where they are."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        cosines = np.abs(directions.T @ directions)[np.triu_indices(3, 1)]
        skew = float(np.degrees(np.arcsin(min(1.0, cosines.max()))))
        return f"its axes are skewed by {skew:.3g} degrees" if skew > _LARGEST_SKEW_DEG else None

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
    def open(cls, path: Path, *, is_isolated: bool = True, modality: str = "CT") -> VolumeFile:
        """Read the header.

        Args:
            path: the file.
            is_isolated: let native code that may crash run in a process of its own.
            modality: that is wanted, ``"CT"`` or ``"MR"``; NIfTI does not say which it is.

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
