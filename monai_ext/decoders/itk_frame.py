"""ITK as the decoder of last resort for a compressed frame: it also reads what pydicom's plugins do not.

That is JPEG extended with 12 bits and the two retired kinds of progressive JPEG, which archives of the 1990s hold.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

import numpy as np

__all__ = ["ITK_PACKAGE", "can_itk_decode", "has_itk", "itk_values"]

ITK_PACKAGE = "SimpleITK"

_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70, 80, 81, 90, 91))
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@cache
def has_itk() -> bool:
    """Whether ITK is installed."""
    return find_spec(ITK_PACKAGE) is not None


def can_itk_decode(transfer_syntax: str) -> bool:
    """Whether ITK knows a compression."""
    return transfer_syntax in _SYNTAXES


def itk_values(
    *,
    transfer_syntax: str,
    stream: bytes,
    rows: int,
    columns: int,
    bits_allocated: int,
    bits_stored: int,
    is_signed: bool,
) -> np.ndarray:
    """Decode a frame, (rows, columns), in this process; see
    :class:`~monai_ext.decoders.compressed_frame.CompressedFrame` for the arguments.

    Raises:
        RuntimeError: ITK cannot read it.
    """
    import SimpleITK

    image = {
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": bits_allocated,
        "BitsStored": bits_stored,
        "HighBit": bits_stored - 1,
        "PixelRepresentation": int(is_signed),
    }
    with _as_file(_dicom_file(transfer_syntax, stream, image)) as path:
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(path)
        values = SimpleITK.GetArrayFromImage(reader.Execute())
    return values.reshape(values.shape[-2:]) if values.ndim == 3 and len(values) == 1 else values


def _dicom_file(transfer_syntax: str, stream: bytes, image: dict[str, int]) -> bytes:
    """A file with the frame and nothing else that ITK would act on: no rescale, no inversion, no identity."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    dataset.SOPClassUID = _SECONDARY_CAPTURE
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "OT"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in image.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.preamble = bytes(128)
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to read the content from; on Linux in memory, so that nothing stays behind when ITK crashes."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("frame")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                stream.write(content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(content)
        file.flush()
        yield file.name
