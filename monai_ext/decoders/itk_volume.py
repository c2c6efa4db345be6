"""Volumes in MetaImage and NRRD through ITK: where they lie, and their values as a whole or slab by slab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from monai_ext.decoders.failure import DecodingFailed
from monai_ext.decoders.itk_frame import ITK_PACKAGE, has_itk

__all__ = ["describe_here", "describe_request", "values_here", "values_request"]

_READERS = {".mhd": "MetaImageIO", ".mha": "MetaImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_T = TypeVar("_T")


def describe_here(path: str) -> dict[str, Any]:
    """What a file says about its grid, read in this process without its values.

    Returns:
        ``shape`` in the order x, y, z of the file, ``affine`` (4, 4) from indices to mm in RAS (right, anterior,
        superior, as NIfTI has it), ``type`` as ITK names it, and ``components``, numbers a pixel.

    Raises:
        DecodingFailed: ITK cannot read it, or is not installed.
    """

    def describe(reader: Any) -> dict[str, Any]:
        import SimpleITK

        reader.ReadImageInformation()
        dimensions = reader.GetDimension()
        affine = np.eye(4)
        if dimensions >= 3:
            direction = np.reshape(reader.GetDirection(), (dimensions, dimensions))[:3, :3]
            affine[:3, :3] = direction * reader.GetSpacing()[:3]
            affine[:3, 3] = reader.GetOrigin()[:3]
        return {
            "shape": list(reader.GetSize()),
            "affine": (_LPS_TO_RAS @ affine).tolist(),
            "type": SimpleITK.GetPixelIDValueAsString(reader.GetPixelID()),
            "components": reader.GetNumberOfComponents(),
        }

    return _explained(path, describe)


def values_here(path: str, *, start: list[int] | None = None, size: list[int] | None = None) -> np.ndarray:
    """Values of a volume, or of a part of it, in the order x, y, z of the file, read in this process.

    Args:
        path: the file.
        start: index of the part's first voxel.
        size: number of voxels of the part along the first three axes; the whole volume when omitted.

    Raises:
        DecodingFailed: ITK cannot read it, or is not installed.
    """

    def read(reader: Any) -> np.ndarray:
        import SimpleITK

        if start is not None and size is not None:
            reader.ReadImageInformation()
            more = [0] * (reader.GetDimension() - len(size))  # size 0 leaves an axis of one out
            reader.SetExtractIndex(start + more)
            reader.SetExtractSize(size + more)
        return SimpleITK.GetArrayFromImage(reader.Execute()).T

    return _explained(path, read)


def describe_request(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], Any]:
    """:func:`describe_here`, for a process of its own."""
    return describe_here(**arguments), payload


def values_request(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], Any]:
    """:func:`values_here`, for a process of its own; the values are sent in the order z, y, x."""
    del payload
    values = np.ascontiguousarray(values_here(**arguments).T)
    return {"dtype": values.dtype.str, "shape": values.shape}, values


def _explained(path: str, read: Callable[[Any], _T]) -> _T:
    if not has_itk():
        raise DecodingFailed("missing_codec", f"MetaImage and NRRD: pip install {ITK_PACKAGE}")
    import SimpleITK

    suffix = path[path.rfind(".") :].lower()
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(_READERS[suffix])
    reader.SetFileName(path)
    try:
        return read(reader)
    except RuntimeError:  # its text names the file
        raise DecodingFailed("damaged", "ITK cannot read it") from None
