"""Axial slices of NIfTI volumes in Hounsfield units."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monai_ext.data.dicom.header import LARGEST_WHOLE_BYTES
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.sources.volume_file import VolumeFile, VolumeGrid
from monai_ext.data.sources.volume_source import VolumeSource
from monai_ext.files import open_regular

__all__ = ["NiftiSource", "NiftiVolume"]

_HEADER_BYTES = {1: 348, 2: 540}
_LARGEST_OFFSET = 2**28
"""Extensions lie between header and voxels; nobody reads them here, but a compressed file is unpacked up to there."""
_MOST_PACKED = 1032
"""Deflate makes at most so many bytes of one (zlib's technical notes)."""
_PADDING = 2**16
"""So many bytes may follow the voxels."""


class NiftiVolume(VolumeFile):
    """A NIfTI file, ``.nii`` or ``.nii.gz``; nibabel reads its header, which is Python and cannot crash.

    What the header declares is compared with the file before memory is taken for it. A compressed file is unpacked to
    its end, at most to a few pages beyond the declared voxels, so that its checksum is looked at.
    """

    format_code = "nifti"

    def __init__(self, path: Path, grid: VolumeGrid, *, header: Any, **also: Any) -> None:
        super().__init__(path, grid, **also)
        self._header = header

    @classmethod
    def open(cls, path: Path, *, is_isolated: bool = True, modality: str = "CT") -> NiftiVolume:
        """Read the header, see :meth:`VolumeFile.open`."""
        header = _header(path)
        kind = header.get_data_dtype()
        if kind.kind not in "iuf":
            raise Refusal(SkipReason.NOT_GRAYSCALE, "its voxels are colours or complex numbers")
        grid = VolumeGrid.of(header.get_data_shape(), header.get_best_affine())
        _, inter = header.get_slope_inter()
        volume = cls(
            path,
            grid,
            header=header,
            is_whole=_is_compressed(path),
            can_be_negative=kind.kind != "u" or (inter or 0) < 0,
        )
        volume._check_size(path.stat().st_size)
        return volume

    def values(self) -> np.ndarray:
        """All values in HU, float32, in the order of the data."""
        return self._read(...).reshape(self.grid.shape)

    def slab(self, number: int) -> np.ndarray:
        """Values of one axial slice in HU."""
        start, size = self.grid.box(number)
        return self._read(tuple(slice(first, first + count) for first, count in zip(start, size, strict=True)))

    @property
    def _declared(self) -> int:
        """Bytes of the voxels."""
        return math.prod(self.grid.shape) * int(self._header.get_data_dtype().itemsize)

    def _check_size(self, there: int) -> None:
        """Refuse a header that promises more than the file can hold, or than anybody should unpack."""
        offset = self._header.get_data_offset()
        needed = offset + self._declared
        if needed > there * (_MOST_PACKED if self.is_whole else 1):
            packed = "packed " if self.is_whole else ""
            raise Refusal(SkipReason.CUT_PIXELS, f"{needed} bytes are declared, {there} {packed}bytes are there")
        if self.is_whole and (offset > _LARGEST_OFFSET or needed > LARGEST_WHOLE_BYTES):
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"{needed} bytes; unpack it, and slices are read one by one")

    def _read(self, selection: Any) -> np.ndarray:
        from nibabel.arrayproxy import ArrayProxy

        with _refusing(), open_regular(self.path) as file:
            self._check_size(self.path.stat().st_size)
            if self.is_whole:
                return np.asarray(self._unpacked(file)[selection], dtype=np.float32)
            # a memory map would crash the process if somebody cuts the file meanwhile
            return np.asarray(ArrayProxy(file, self._header, mmap=False)[selection], dtype=np.float32)

    def _unpacked(self, file: BinaryIO) -> np.ndarray:
        from nibabel.volumeutils import apply_read_scaling

        content = bytearray(self._declared)
        with gzip.GzipFile(fileobj=file) as stream:
            stream.seek(self._header.get_data_offset())
            if stream.readinto(content) < len(content):
                raise EOFError
            if len(stream.read(_PADDING + 1)) > _PADDING:
                raise Refusal(SkipReason.DAMAGED, f"more follows the {len(content)} bytes of voxels it declares")
        values = np.frombuffer(content, self._header.get_data_dtype()).reshape(self.grid.shape, order="F")
        slope, inter = self._header.get_slope_inter()
        return np.asarray(apply_read_scaling(values, slope or 1.0, inter or 0.0))


class NiftiSource(VolumeSource):
    """Axial slices of NIfTI volumes, see :class:`~monai_ext.data.sources.volume_source.VolumeSource`."""

    kind = "NIfTI"
    volume_file = NiftiVolume


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _header(path: Path) -> Any:
    """The header alone: extensions after it may be of any size."""
    import nibabel

    with _refusing(), open_regular(path) as file:
        stream = gzip.GzipFile(fileobj=file) if _is_compressed(path) else file
        content = stream.read(max(_HEADER_BYTES.values()))
    kinds = {nibabel.Nifti1Header: _HEADER_BYTES[1], nibabel.Nifti2Header: _HEADER_BYTES[2]}
    for kind, length in kinds.items():
        if length in (int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")):
            try:
                header = kind(content[:length])
                if header.get_data_offset() < 0:
                    raise ValueError
                header.get_data_dtype(), header.get_data_shape(), header.get_best_affine(), header.get_slope_inter()
            except Exception as error:  # nibabel raises errors of many types on damaged headers
                raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
            return header
    raise Refusal(SkipReason.DAMAGED, "it has no NIfTI header")


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what a damaged file raises into a refusal; errors of the system stay what they are."""
    try:
        yield
    except EOFError:
        raise Refusal(SkipReason.CUT_PIXELS, "its compressed values end early") from None
    except OSError as error:
        if error.errno is not None:
            raise
        is_packing = isinstance(error, gzip.BadGzipFile)
        raise Refusal(SkipReason.DAMAGED if is_packing else SkipReason.CUT_PIXELS) from None
    except Refusal:
        raise
    except (zlib.error, ValueError, OverflowError) as error:
        raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
