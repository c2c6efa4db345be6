"""Axial slices of MetaImage and NRRD volumes in Hounsfield units, read by ITK."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import LARGEST_SIDE
from monai_ext.data.sources.itk_header import METAIMAGE_SUFFIXES, read_itk_header
from monai_ext.data.sources.volume_file import VolumeFile, VolumeGrid
from monai_ext.data.sources.volume_source import VolumeSource
from monai_ext.decoders import DecodingFailed, shared_process
from monai_ext.decoders.itk_volume import describe_here, values_here

__all__ = ["ItkVolume", "ItkVolumeSource"]

_MODULE = "monai_ext.decoders.itk_volume"


class ItkVolume(VolumeFile):
    """A MetaImage (``.mhd`` with its ``.raw`` or ``.zraw``, ``.mha``) or NRRD (``.nrrd``, ``.nhdr`` with its data).

    ITK is native code that a damaged file may crash: unless this process is expendable, it runs in one of its own.
    """

    @property
    def format_code(self) -> str:
        """``"metaimage"`` or ``"nrrd"``."""
        return "metaimage" if self.path.suffix.lower() in METAIMAGE_SUFFIXES else "nrrd"

    @classmethod
    def open(cls, path: Path, *, is_isolated: bool = True, modality: str = "CT") -> ItkVolume:
        """Read the header, see :meth:`VolumeFile.open`."""
        header = read_itk_header(path, modality=modality)
        description = _describe(path, is_isolated=is_isolated)
        grid = VolumeGrid.of(description["shape"], np.array(description["affine"]))
        if description["components"] != 1 or "vector" in description["type"] or "complex" in description["type"]:
            raise Refusal(SkipReason.NOT_GRAYSCALE, "its voxels have several components")
        if max(grid.shape) > LARGEST_SIDE:
            raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"its shape is {' x '.join(map(str, grid.shape))}")
        return cls(
            path,
            grid,
            is_whole=header.is_compressed or path.suffix.lower() not in METAIMAGE_SUFFIXES,  # ITK reads NRRD as a whole
            can_be_negative="unsigned" not in description["type"],
            says_hounsfield=header.says_hounsfield,
            files=tuple(dict.fromkeys((path, header.values))),
            is_isolated=is_isolated,
        )

    def values(self) -> np.ndarray:
        """All values in the order of the data."""
        return self._read({}).reshape(self.grid.shape)

    def slab(self, number: int) -> np.ndarray:
        """Values of one axial slice."""
        start, size = self.grid.box(number)
        return self._read({"start": start, "size": size})

    def _read(self, part: dict[str, list[int]]) -> np.ndarray:
        with _refusing():
            if not self.is_isolated:
                return values_here(str(self.path), **part)
            arguments = {"path": os.path.abspath(self.path), **part}
            description, values = shared_process().call(f"{_MODULE}:values_request", arguments)
        return np.frombuffer(values, description["dtype"]).reshape(description["shape"]).T


class ItkVolumeSource(VolumeSource):
    """Axial slices of MetaImage and NRRD volumes, see :class:`~monai_ext.data.sources.volume_source.VolumeSource`."""

    kind = "MetaImage or NRRD"
    volume_file = ItkVolume


def _describe(path: Path, *, is_isolated: bool) -> dict[str, Any]:
    with _refusing():
        if not is_isolated:
            return describe_here(str(path))
        return shared_process().call(f"{_MODULE}:describe_request", {"path": os.path.abspath(path)})[0]


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except DecodingFailed as failure:
        raise Refusal(SkipReason(failure.reason), failure.detail) from None
