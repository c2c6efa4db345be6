"""Axial slices of NIfTI volumes in Hounsfield units."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.sources.source import SliceSource, describe_sizes, fingerprint_files, group_name
from monai_ext.errors import DatasetError

__all__ = ["NiftiSource"]

logger = logging.getLogger(__name__)

_RIGHT, _ANTERIOR, _SUPERIOR = 0, 1, 2


@dataclass(frozen=True)
class _Volume:
    """One file's geometry: which data axis points where, and which have to be turned round for RAS order."""

    file: Path
    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    turned: tuple[bool, bool, bool]
    is_signed: bool

    @property
    def slices(self) -> int:
        return self.shape[self.axes[_SUPERIOR]]

    @property
    def plane_shape(self) -> tuple[int, ...]:
        return tuple(length for axis, length in enumerate(self.shape) if axis != self.axes[_SUPERIOR])

    @property
    def rows_columns(self) -> tuple[int, int]:
        return self.shape[self.axes[_ANTERIOR]], self.shape[self.axes[_RIGHT]]


class NiftiSource(SliceSource):
    """Axial slices of volumes in any storage order, as a radiologist sees them (anterior up, right on the left).

    A slice of an uncompressed ``.nii`` is read alone. A ``.nii.gz`` has to be decompressed as a whole: the last one is
    kept, and the dataset is told which slices come with it. Volumes of an unsigned type cannot hold Hounsfield units;
    they are taken for the label maps that often lie beside a scan, and left out with a warning.

    Args:
        root: folder that names are relative to.
        files: the volumes, sorted.

    Raises:
        DatasetError: a file is no NIfTI volume of three dimensions, or only label maps are there.
    """

    kind = "NIfTI"
    grouped_by = "volume"
    dtype = np.dtype(np.int16)

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root = root
        opened = [self._open(file) for file in files]
        self._volumes = tuple(volume for volume in opened if volume.is_signed)
        self._left_out = len(opened) - len(self._volumes)
        self._report_label_maps([volume.file for volume in opened if not volume.is_signed])
        self._ends = list(accumulate(volume.slices for volume in self._volumes))
        names = [(group_name(volume.file.relative_to(root).as_posix()), volume.slices) for volume in self._volumes]
        super().__init__(
            root,
            held_together=[name for name, slices in names for _ in range(slices)],
            fingerprint=fingerprint_files(root, [volume.file for volume in self._volumes]),
        )
        self._decoded: tuple[int, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_decoded": None}

    def read(self, index: int) -> np.ndarray:
        """Decode one axial slice: float32 (rows, columns) in HU."""
        number, position = self._locate(index)
        volume = self._volumes[number]
        if volume.turned[_SUPERIOR]:
            position = volume.slices - 1 - position
        selection = [slice(None)] * 3
        selection[volume.axes[_SUPERIOR]] = position  # type: ignore[call-overload]
        values = self._values(number)
        try:
            plane = np.asarray(values[tuple(selection)], dtype=np.float32).reshape(volume.plane_shape)
        except Exception as error:  # a cut or damaged file surfaces as errors of many types
            raise self._unreadable(volume.file, error) from error
        if not np.isfinite(plane).all():
            raise DatasetError(
                f"The volume {volume.file.relative_to(self.root)} has {int((~np.isfinite(plane)).sum())} pixels that"
                f" are not a number in axial slice {position}: replace them (air is -1000 HU) or move the file away."
            )
        return self._radiological(plane, volume)

    def decoded_together(self, index: int) -> range:
        """The slices of the same volume when it is compressed, else the slice alone."""
        number, _ = self._locate(index)
        if not self._is_compressed(number):
            return range(index, index + 1)
        return range(self._ends[number] - self._volumes[number].slices, self._ends[number])

    def describe(self) -> dict[str, Any]:
        """Volumes, and the sizes of their axial slices."""
        return {
            "volumes": len(self._volumes),
            "label_maps_left_out": self._left_out,
            **describe_sizes(volume.rows_columns for volume in self._volumes),
        }

    def _locate(self, index: int) -> tuple[int, int]:
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number] - self._volumes[number].slices)

    def _is_compressed(self, number: int) -> bool:
        return self._volumes[number].file.suffix.lower() == ".gz"

    @staticmethod
    def _radiological(plane: np.ndarray, volume: _Volume) -> np.ndarray:
        """Lay the two in-plane axes out with anterior at the top and the patient's right on the left."""
        if volume.axes[_RIGHT] < volume.axes[_ANTERIOR]:
            plane = plane.T
        rows = slice(None) if volume.turned[_ANTERIOR] else slice(None, None, -1)
        columns = slice(None) if volume.turned[_RIGHT] else slice(None, None, -1)
        return np.ascontiguousarray(plane[rows, columns])

    def _values(self, number: int) -> Any:
        """Something of the volume's shape that can be indexed: the file itself, or its decompressed content."""
        import nibabel

        if self._decoded is not None and self._decoded[0] == number:
            return self._decoded[1]
        volume = self._volumes[number]
        try:
            proxy = nibabel.load(volume.file).dataobj  # type: ignore[attr-defined]
            if not self._is_compressed(number):
                return proxy
            values = np.asarray(proxy, dtype=np.float32).reshape(volume.shape)
        except Exception as error:
            raise self._unreadable(volume.file, error) from error
        self._refuse_labels(volume.file, values)
        self._decoded = (number, values)
        return values

    def _open(self, file: Path) -> _Volume:
        import nibabel

        try:
            image: Any = nibabel.load(file)
            shape, kind = tuple(map(int, image.shape)), image.get_data_dtype()
            orientation = nibabel.io_orientation(image.affine)
        except Exception as error:  # nibabel raises errors of many types on damaged headers
            raise self._unreadable(file, error) from error
        if len(shape) == 4 and shape[3] == 1:
            shape = shape[:3]
        if len(shape) != 3 or min(shape) < 1:
            raise self._unreadable(file, f"its shape is {shape}, while a volume has three dimensions")
        if np.isnan(orientation).any():
            raise self._unreadable(file, "its affine does not say which axis points where")
        axes = tuple(int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3))
        turned = tuple(bool(orientation[axis, 1] < 0) for axis in axes)
        is_signed = not np.issubdtype(kind, np.unsignedinteger) or image.dataobj.inter < 0
        return _Volume(file, shape, axes, turned, is_signed)  # type: ignore[arg-type]

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

    def _refuse_labels(self, file: Path, values: np.ndarray) -> None:
        if values.min() >= 0:
            raise self._unreadable(file, "it has no value below 0, so it is a label map or not in HU")

    def _unreadable(self, file: Path, reason: object) -> DatasetError:
        return DatasetError(
            f"The volume {file.relative_to(self.root)} cannot be read as CT: {reason}. Replace it or move it out of the"
            " folder, then start again."
        )
