"""Slices that were exported as pictures: 8-bit or 16-bit, gray, colour, palette, with or without transparency."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_ext.data.sources.source import SliceSource, describe_sizes, fingerprint_files, group_name
from monai_ext.errors import DatasetError
from monai_ext.files import open_regular

__all__ = ["PictureSource", "gray_levels", "read_gray"]

logger = logging.getLogger(__name__)

_PROBES = 2000
_FOLDERS_OF_VOLUMES = 10
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


class PictureSource(SliceSource):
    """Gray levels of picture files. They are no Hounsfield units, and the window they were made with is unknown.

    Colour is turned to gray (ITU-R BT.601), transparency is laid on black. A 16-bit picture keeps its full scale,
    0 .. 65535; its own minimum and maximum never matter, as they differ from slice to slice.

    When at least ten folders hold pictures, each folder is taken for one volume and its pictures stay together when
    some are held out; otherwise every picture stands for itself.

    Args:
        root: folder that names are relative to.
        files: the pictures, sorted.

    Raises:
        DatasetError: of up to 2,000 pictures looked at, one cannot be recognised as a picture.
    """

    kind = "pictures"

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        folders = {file.parent for file in files}
        self.grouped_by = "folder" if len(folders) >= _FOLDERS_OF_VOLUMES else "picture"
        held_together = [
            group_name((file.parent if self.grouped_by == "folder" else file).relative_to(root).as_posix())
            for file in files
        ]
        super().__init__(root, held_together=held_together, fingerprint=fingerprint_files(root, files))
        self._files = tuple(files)
        self._sizes, deep = self._probe()
        self.dtype = np.dtype(np.uint16 if deep else np.uint8)

    def read(self, index: int) -> np.ndarray:
        """Decode one picture: float32 (rows, columns) in gray levels of ``dtype``."""
        try:
            levels, white = read_gray(self._files[index])
        except Exception as error:  # Pillow's decoders raise errors of many types on damaged files
            raise self._unreadable(self._files[index], error) from error
        return levels * (np.iinfo(self.dtype).max / white)

    def name(self, index: int) -> str:
        """The picture's file, relative to ``root``."""
        return self._files[index].relative_to(self.root).as_posix()

    def describe(self) -> dict[str, Any]:
        """Sizes that occur among the pictures that were looked at."""
        return describe_sizes(self._sizes)

    def _probe(self) -> tuple[Counter[tuple[int, int]], bool]:
        """Sizes (rows, columns) with their counts, and whether any picture has 16 bits, from evenly spaced headers."""
        sizes: Counter[tuple[int, int]] = Counter()
        deep: list[Path] = []
        for file in self._files[:: max(1, -(-len(self._files) // _PROBES))]:
            try:
                with open_regular(file) as stream, Image.open(stream) as picture:
                    sizes[picture.height, picture.width] += 1
                    if picture.mode in _SIXTEEN_BIT_MODES:
                        deep.append(file)
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
                raise self._unreadable(file, error) from error
        if deep:
            self._warn_about_dark(deep[0])
        return sizes, bool(deep)

    def _warn_about_dark(self, file: Path) -> None:
        brightest = float(read_gray(file)[0].max())
        if brightest < 8192:
            logger.warning(
                "16-bit pictures are read on their full scale, 0 .. 65535, but %s is not brighter than %d and will be"
                " nearly black: convert the pictures to 8 bit, or give the DICOM or NIfTI they were made from.",
                file.relative_to(self.root),
                brightest,
            )

    def _unreadable(self, file: Path, error: Exception) -> DatasetError:
        reason = "it is no picture or its beginning is damaged" if isinstance(error, UnidentifiedImageError) else error
        return DatasetError(
            "The picture {file} cannot be read: {reason}. Replace it or move it out of the folder, then start again.",
            file=file.relative_to(self.root),
            reason=reason,
        )


def read_gray(path: Path) -> tuple[np.ndarray, int]:
    """Read one picture: gray levels, float32 (rows, columns), and the level that is white; see :func:`gray_levels`.

    Raises:
        OSError: it is no file, or cannot be read.
        Exception: Pillow raises errors of many types on damaged files.
    """
    with open_regular(path) as stream, Image.open(stream) as picture:
        return gray_levels(picture)


def gray_levels(picture: Image.Image) -> tuple[np.ndarray, int]:
    """Gray levels of an opened picture, float32 (rows, columns), and the level that is white: 255 or 65535.

    Raises:
        ValueError: its mode is not supported.
        Exception: Pillow raises errors of many types on damaged files.
    """
    if picture.mode in _SIXTEEN_BIT_MODES:
        return np.asarray(picture, dtype=np.float32), 65535
    if picture.mode in ("F", "1"):
        raise ValueError(f"its mode {picture.mode!r} is not supported (8-bit or 16-bit gray, colour or palette are)")
    if picture.has_transparency_data:
        colour = picture.convert("RGBA")
        black = Image.new("RGBA", colour.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, colour)
    return np.asarray(picture.convert("L"), dtype=np.float32), 255
