"""Axial slices of NIfTI volumes in Hounsfield units."""

from __future__ import annotations

import gzip
import math
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.sources.volume_file import VolumeFile, VolumeGrid
from monai_ext.data.sources.volume_source import VolumeSource

__all__ = ["NiftiSource", "NiftiVolume"]

_SNIFFED_BYTES = 1024
"""nibabel looks at so many to find out the format."""


class NiftiVolume(VolumeFile):
    """A NIfTI file, ``.nii`` or ``.nii.gz``; nibabel reads it, which is Python and cannot crash."""

    format_code = "nifti"

    @classmethod
    def open(cls, path: Path, *, is_isolated: bool = True) -> NiftiVolume:
        """Read the header, see :meth:`VolumeFile.open`."""
        image = _load(path)
        kind = image.get_data_dtype()
        if kind.kind not in "iuf":
            raise Refusal(SkipReason.NOT_GRAYSCALE, "its voxels are colours or complex numbers")
        grid = VolumeGrid.of(image.shape, image.affine)
        is_compressed = path.suffix.lower() == ".gz"
        needed = image.dataobj.offset + math.prod(grid.shape) * kind.itemsize
        there = path.stat().st_size
        if there < needed and not is_compressed:
            raise Refusal(SkipReason.CUT_PIXELS, f"{needed} bytes are declared, {there} are there")
        return cls(
            path,
            grid,
            is_whole=is_compressed,
            can_be_negative=kind.kind != "u" or image.dataobj.inter < 0,
        )

    def values(self) -> np.ndarray:
        """All values in HU, float32, in the order of the data."""
        return self._read(...).reshape(self.grid.shape)

    def slab(self, number: int) -> np.ndarray:
        """Values of one axial slice in HU."""
        start, size = self.grid.box(number)
        return self._read(tuple(slice(first, first + count) for first, count in zip(start, size, strict=True)))

    def _read(self, selection: Any) -> np.ndarray:
        try:
            return np.asarray(_load(self.path).dataobj[selection], dtype=np.float32)
        except (Refusal, MemoryError):
            raise
        except EOFError:
            raise Refusal(SkipReason.CUT_PIXELS, "its compressed values end early") from None
        except OSError as error:
            if error.errno is not None:
                raise
            is_packing = isinstance(error, gzip.BadGzipFile)
            raise Refusal(SkipReason.DAMAGED if is_packing else SkipReason.CUT_PIXELS) from None
        except (zlib.error, ValueError) as error:
            raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None


class NiftiSource(VolumeSource):
    """Axial slices of NIfTI volumes, see :class:`~monai_ext.data.sources.volume_source.VolumeSource`."""

    kind = "NIfTI"
    volume_file = NiftiVolume


def _load(path: Path) -> Any:
    import nibabel

    try:
        return nibabel.load(path)
    except OSError as error:
        if error.errno is not None:
            raise
        raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
    except MemoryError:
        raise
    except Exception as error:  # nibabel raises errors of many types on damaged headers
        _refuse_cut(path)
        raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None


def _refuse_cut(path: Path) -> None:
    """Say so where a compressed file is so short that not even its header comes out."""
    if path.suffix.lower() != ".gz":
        return
    with gzip.open(path) as stream, suppress(OSError, zlib.error):
        try:
            stream.read(_SNIFFED_BYTES)
        except EOFError:
            raise Refusal(SkipReason.CUT_PIXELS, "its compressed values end early") from None
