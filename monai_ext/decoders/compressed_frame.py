"""One compressed frame of a DICOM image: which decoders can read it, and its decoding in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from monai_ext.decoders.failure import DecodingFailed
from monai_ext.decoders.isolated import IsolatedProcess
from monai_ext.decoders.itk_frame import ITK_PACKAGE, can_itk_decode, has_itk, itk_values
from monai_ext.decoders.jpeg_header import DCT_PRECISIONS, dct_precision

__all__ = ["CompressedFrame", "decode_apart", "decode_here", "decode_request"]

_JPEG = "1.2.840.10008.1.2.4.5"
"""What the UIDs of JPEG by cosine transforms begin with (.57, lossless, is told apart by its stream)."""
_RLE = "1.2.840.10008.1.2.5"
_IN_PYTHON = (_RLE,)
"""Decoded by pydicom itself: nothing in it can crash."""

_PLUGINS = ("pydicom", "pyjpegls", "pylibjpeg", "pillow")
"""Plugins of pydicom in the order in which they are tried: libraries of one format each."""

_ABORTING_PLUGIN = "gdcm"
"""Its exceptions end the process, as nothing catches them. ITK holds the same code and does catch them, so this one is
for compressions that nothing else here reads."""

_PACKAGES = {
    "python-gdcm": (50, 51, 57, 70),
    "pyjpegls": (80, 81),
    "pylibjpeg pylibjpeg-openjpeg": (90, 91, 201, 202, 203),
    ITK_PACKAGE: (53, 55),
}
"""What to install for 1.2.840.10008.1.2.4.N; all of it comes with this project."""


@dataclass(frozen=True)
class CompressedFrame:
    """A frame as it is in the file, and the elements that decoders need; it carries no identity.

    Args:
        transfer_syntax: UID of the compression.
        stream: the compressed bytes.
        rows: Rows (0028,0010).
        columns: Columns (0028,0011).
        bits_allocated: BitsAllocated (0028,0100).
        bits_stored: BitsStored (0028,0101).
        is_signed: PixelRepresentation (0028,0103).
    """

    transfer_syntax: str
    stream: bytes
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool


def decode_here(frame: CompressedFrame) -> np.ndarray:
    """Decode in this process, which a damaged stream may crash: first with pydicom's plugins, then with ITK.

    Returns:
        (rows, columns) integers as the decoder gives them.

    Raises:
        DecodingFailed: no decoder for it is installed (``"missing_codec"``; the detail says what to install), or none
            can read it (``"undecodable"``).
        MemoryError: it needs more memory than this process may have.
    """
    _check_precision(frame)
    failures: list[str] = []
    for decode in _attempts(frame.transfer_syntax):
        try:
            return _checked(decode(frame), frame)
        except MemoryError:
            raise
        except Exception as error:  # decoders raise errors of many types
            failures.append(error.detail if isinstance(error, DecodingFailed) else type(error).__name__)
    if not failures:
        raise DecodingFailed("missing_codec", what_to_install(frame.transfer_syntax))
    raise DecodingFailed("undecodable", f"{_name(frame.transfer_syntax)}: {failures[-1]}")


def decode_apart(frame: CompressedFrame, process: IsolatedProcess) -> np.ndarray:
    """Decode in a process of its own, unless the decoder is written in Python and cannot crash.

    Raises:
        DecodingFailed: as :func:`decode_here`; or the decoder crashed (``"crash"``), hung (``"timeout"``) or needed too
            much memory (``"out_of_memory"``).
    """
    if frame.transfer_syntax in _IN_PYTHON:
        return decode_here(frame)
    arguments = asdict(frame)
    try:
        answer, values = process.call(f"{__name__}:decode_request", arguments, arguments.pop("stream"))
    except DecodingFailed as failure:
        raise DecodingFailed(failure.reason, failure.detail or _name(frame.transfer_syntax)) from None
    return np.frombuffer(values, answer["dtype"]).reshape(answer["shape"])


def decode_request(arguments: dict[str, Any], payload: bytearray) -> tuple[dict[str, Any], Any]:
    """The other side of :func:`decode_apart`."""
    values = np.ascontiguousarray(decode_here(CompressedFrame(**arguments, stream=bytes(payload))))
    return {"dtype": values.dtype.str, "shape": values.shape}, values


def what_to_install(transfer_syntax: str) -> str:
    """Which compression it is, and what decodes it, as one sentence."""
    stem, _, number = transfer_syntax.rpartition(".")
    known = stem == "1.2.840.10008.1.2.4" and number.isdigit()
    package = next((name for name, numbers in _PACKAGES.items() if known and int(number) in numbers), None)
    if package is not None:
        return f"{_name(transfer_syntax)}: pip install {package}"
    return f"{_name(transfer_syntax)}: no decoder is known, so export the images again without compression"


def _check_precision(frame: CompressedFrame) -> None:
    """Refuse what gdcm writes of 16 allocated bits as "JPEG Extended": decoded, its zeros become the largest value."""
    bits = dct_precision(frame.stream) if frame.transfer_syntax.startswith(_JPEG) else None
    if bits not in (None, *DCT_PRECISIONS):
        raise DecodingFailed(
            "undecodable", f"{_name(frame.transfer_syntax)}: of {bits} bits, of which decoders give wrong values"
        )


def _attempts(transfer_syntax: str) -> Iterator[Callable[[CompressedFrame], np.ndarray]]:
    """What can decode a compression here, in the order in which it is tried."""
    from pydicom.pixels import get_decoder

    installed: Any = ()
    with suppress(NotImplementedError):
        decoder = get_decoder(transfer_syntax)
        installed = decoder.available_plugins
        yield from (partial(_pydicom_values, decoder, plugin) for plugin in _PLUGINS if plugin in installed)
    if can_itk_decode(transfer_syntax) and has_itk():
        yield lambda frame: itk_values(**asdict(frame))
    elif _ABORTING_PLUGIN in installed:
        yield partial(_pydicom_values, decoder, _ABORTING_PLUGIN)


def _pydicom_values(decoder: Any, plugin: str, frame: CompressedFrame) -> np.ndarray:
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    values, _ = decoder.as_array(
        encapsulate([frame.stream]),
        raw=True,
        index=0,
        decoding_plugin=plugin,
        pixel_keyword="PixelData",
        transfer_syntax_uid=UID(frame.transfer_syntax),
        number_of_frames=1,
        rows=frame.rows,
        columns=frame.columns,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=frame.bits_allocated,
        bits_stored=frame.bits_stored,
        pixel_representation=int(frame.is_signed),
    )
    return values


def _checked(values: np.ndarray, frame: CompressedFrame) -> np.ndarray:
    if values.shape != (frame.rows, frame.columns) or values.dtype.kind not in "iu":
        raise DecodingFailed("undecodable", f"decoded shape is {values.shape}")
    return values


def _name(transfer_syntax: str) -> str:
    """Name and UID of a compression; a UID that is not in the Standard is not repeated, since it may be anything."""
    from pydicom.uid import UID, UID_dictionary

    if transfer_syntax not in UID_dictionary:
        return "TransferSyntaxUID (0002,0010) is not in the Standard"
    return f"{UID(transfer_syntax).name} ({transfer_syntax})"
