"""From the values that a mask's file has to class numbers, or a sentence that says why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from monai_ext.data.sources.nifti import NiftiVolume
from monai_ext.files import open_regular
from monai_ext.foreign_text import listed

__all__ = ["MaskValues", "mask_picture", "mask_volume"]

_SHOWN = 6
_WHITE = (255, 65535)

MaskValue = int | Sequence[int]


class MaskValues:
    """Which values of a mask are which class.

    Args:
        class_names: K names, the background's first.
        values: of each class its value in the files, or several of them; None takes the numbers of the classes, or, of
            two classes, 0 and white.

    Raises:
        ValueError: there are not as many values as classes, or two classes share one.

    Example:
        >>> MaskValues(["background", "infection"]).numbers(np.array([[0, 255]]))
        array([[0, 1]], dtype=uint8)
        >>> MaskValues(["background", "infection"], [0, [1, 2]]).numbers(np.array([[0, 1, 2]]))
        array([[0, 1, 1]], dtype=uint8)
    """

    def __init__(self, class_names: Sequence[str], values: Sequence[MaskValue] | None = None) -> None:
        if not 2 <= len(class_names) <= 255:
            raise ValueError(
                f"A mask tells 2 to 255 classes apart, the background being the first; received {list(class_names)}."
            )
        self.class_names = tuple(class_names)
        self._class_of: dict[int, int] | None = None
        if values is not None:
            listed = [[entry] if isinstance(entry, int) else list(entry) for entry in values]
            self._class_of = {int(value): number for number, entry in enumerate(listed) for value in entry}
            if len(listed) != len(class_names) or len(self._class_of) != sum(map(len, listed)):
                raise ValueError(
                    "mask_values has one entry for each of the classes"
                    f" {', '.join(class_names)}, a value or a list of values, and no value twice; received"
                    f" {list(values)!r}."
                )

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Class numbers, uint8, of a mask's values.

        Raises:
            ValueError: it has other values; the message is the reason.
        """
        found = np.unique(values)
        if not np.array_equal(found, np.rint(found)):
            raise ValueError(f"its values are no whole numbers ({_few(found)})")
        class_of = self._class_of or self._usual(found)
        unknown = [value for value in found.tolist() if int(value) not in class_of]
        if unknown:
            named = ", ".join(f"{value} for {self.class_names[number]}" for value, number in list(class_of.items())[:8])
            raise ValueError(
                f"it has the values {_few(found)}, where {named} are expected; JPEG blurs masks, so save them as PNG,"
                ' and say with mask_values which value is which class, as in --mask_values "[0,[1,2]]"'
            )
        places = np.array([class_of[int(value)] for value in found], dtype=np.uint8)
        return places[np.searchsorted(found, values)]

    def _usual(self, found: np.ndarray) -> dict[int, int]:
        for white in _WHITE:
            if len(self.class_names) == 2 and found[-1] == white:
                return {0: 0, white: 1}
        return {number: number for number in range(len(self.class_names))}


def mask_picture(path: Path) -> np.ndarray:
    """Values of a mask that is a picture, (rows, columns).

    A palette's numbers are the values, whatever their colours; colours are accepted where all three are equal.

    Raises:
        ValueError: it is in colours.
        Exception: Pillow raises errors of many types on damaged files.
    """
    with open_regular(path) as stream, Image.open(stream) as picture:
        if len(picture.getbands()) == 1:
            return np.asarray(picture).astype(np.int64)
        colours = np.asarray(picture.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise ValueError(
            "it is in colours, which say nothing about classes: save it as a gray picture of class numbers, or as 0 and"
            " 255"
        )
    return colours[..., 0].astype(np.int64)


def mask_volume(volume: NiftiVolume) -> list[np.ndarray]:
    """Values of a label map's axial slices from the feet up, each (rows, columns) as its image is laid out.

    Raises:
        Refusal: it is damaged.
        OSError: it cannot be read.
    """
    values = volume.values()
    return [volume.plane(number, values) for number in range(volume.grid.slices)]


def _few(values: np.ndarray) -> str:
    return listed(values, most=_SHOWN, form="{:g}".format)
