"""TorchScript without the places of the machine that it was made on."""

from __future__ import annotations

import zipfile
from pathlib import Path

from monai_ext.errors import WeightsError
from monai_ext.files import write_atomically

__all__ = ["remove_source_places"]

_PLACES = ".debug_pkl"
"""Ending of the parts that name, for each operation, the Python file and line that called it."""


def remove_source_places(file: str | Path) -> None:
    """Write a TorchScript file anew without the folders that its program came from; it computes the same.

    ``torch.jit.save``, and so MONAI's ``ckpt_export``, keeps the path of each source file for messages of errors: where
    PyTorch and the user's own code are installed, which is often below a user's name.

    Args:
        file: written by ``torch.jit.save``.

    Raises:
        WeightsError: it is none.
    """
    path = Path(file)
    try:
        with zipfile.ZipFile(path) as archive:
            kept = [entry for entry in archive.infolist() if not entry.filename.endswith(_PLACES)]
            write_atomically(path, lambda stream: _copy(archive, kept, stream))
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path} is no TorchScript file that can be read ({error}).") from error


def _copy(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], stream: object) -> None:
    """Nothing is compressed, as PyTorch needs it."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as copy:  # type: ignore[call-overload]
        for entry in entries:
            copy.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), archive.read(entry))
