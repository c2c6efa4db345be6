"""TorchScript without the places of the machine that it was made on."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from monai_ext.errors import WeightsError
from monai_ext.files import write_atomically

__all__ = ["program_without_places", "remove_source_places"]

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
        content = program_without_places(path.read_bytes())
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path} is no TorchScript file that can be read ({error}).") from error
    write_atomically(path, lambda stream: stream.write(content))


def program_without_places(program: bytes) -> bytes:
    """The content of such a file without the folders. Nothing is compressed, as PyTorch needs it.

    Raises:
        zipfile.BadZipFile: it is none.
    """
    with zipfile.ZipFile(io.BytesIO(program)) as archive, io.BytesIO() as made:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as copy:
            for entry in archive.infolist():
                if not entry.filename.endswith(_PLACES):
                    copy.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), archive.read(entry))
        return made.getvalue()
