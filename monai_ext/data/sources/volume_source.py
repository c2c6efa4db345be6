"""Folders of volumes as axial slices, whatever their format."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.sources.slice_stack import SliceStack, stack_fault
from monai_ext.data.sources.source import (
    SliceSource,
    describe_sizes,
    fingerprint_contents,
    fingerprint_files,
    group_name,
)
from monai_ext.data.sources.volume_file import VolumeFile
from monai_ext.errors import DatasetError

__all__ = ["VolumeSource"]

logger = logging.getLogger(__name__)


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
        names = [(group_name(item.path.relative_to(root).as_posix()), item.grid.slices) for item in self._volumes]
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

    def name(self, index: int) -> str:
        """The volume's file, relative to ``root``, and the number of the axial slice in it, from 0."""
        number, position = self._locate(index)
        return f"{self._volumes[number].path.relative_to(self.root).as_posix()}#{position}"

    def stacks(self) -> list[SliceStack]:
        """One a volume, from the feet upwards: axes superior, posterior, left."""
        return [self._stack(volume, end) for volume, end in zip(self._volumes, self._ends, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Volumes, and the sizes of their axial slices."""
        return {
            "volumes": len(self._volumes),
            "label_maps_left_out": self._left_out,
            **describe_sizes(volume.grid.rows_columns for volume in self._volumes),
        }

    def _stack(self, volume: VolumeFile, end: int) -> SliceStack:
        grid, said = volume.grid, volume.grid.spacing()
        spacing = said["slice_spacing_mm"], said["row_spacing_mm"], said["column_spacing_mm"]
        fault = stack_fault([number * spacing[0] for number in range(grid.slices)], spacing_mm=spacing[1:]) or grid.skew
        return SliceStack(
            name=volume.path.relative_to(self.root).as_posix(),
            indices=range(end - grid.slices, end),
            shape=(grid.slices, *grid.rows_columns),
            spacing_mm=spacing,
            fingerprint=fingerprint_contents(volume.files),
            fault=fault,
        )

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
            "The volume {file} cannot be read as CT: {reason}. Replace it or move it out of the folder, then start"
            " again.",
            file=file.relative_to(self.root),
            reason=reason,
        )
