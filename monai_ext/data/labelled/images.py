"""Labelled images at their own size, for the chain of transforms with which a classifier is trained and used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from monai_ext.data.sources.source import SliceSource, pseudonym
from monai_ext.data.splits.items import SplitSource
from monai_ext.transforms.window import WindowChoice, find_window

__all__ = ["LabelledImages"]


class LabelledImages(Dataset[dict[str, Any]]):
    """Images with their classes; made by :func:`~monai_ext.data.open_labelled_images`.

    An item is ``{"image": float32 (1, H, W) in [0, 1], "label": int}`` with each image's own H and W: an 8-bit picture
    divided by 255 (a 16-bit one is brought to whole levels of 8 bits first), or Hounsfield units of the window. MONAI's
    readers followed by ``ScaleIntensityRanged`` give the same numbers, which is how inference reads images.

    Attributes:
        labels: of every item, its position in ``class_names``.
        class_names: in order.
        groups: of every item, a pseudonym of the patient, or of the near duplicates, that it belongs to.
        ids: of every item, its name in tables and splits. It may tell who the patient is.
        near_duplicates: numbers of the items that resemble an item of an earlier section.
        window: of Hounsfield units, ``(lower, upper)``; None for pictures.
    """

    def __init__(
        self,
        source: SliceSource,
        *,
        items: SplitSource,
        places: Sequence[int],
        class_names: Mapping[str, str],
        window: WindowChoice,
        section: str,
        near_duplicates: Sequence[int] = (),
    ) -> None:
        numbers = {label: number for number, label in enumerate(class_names)}
        self.source = source
        self.places = tuple(places)
        self.class_names = tuple(class_names.values())
        self.labels = tuple(numbers[items.labels[place]] for place in places)
        self.groups = tuple(pseudonym(items.name, items.groups[place]) for place in places)
        self.ids = tuple(items.ids[place] for place in places)
        self.near_duplicates = tuple(near_duplicates)
        self.fingerprint = items.content_hash
        self.section = section
        self._grouped_by = items.grouped_by
        self._window = find_window(window) if source.dtype == np.int16 else None
        self.window = None if self._window is None else (self._window.lower_hu, self._window.upper_hu)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One image and its class.

        Raises:
            DatasetError: its file cannot be decoded; the message names the file.
        """
        plane = torch.from_numpy(self.source.read(self.places[item]).astype(np.float32))[None]
        if self._window is None:
            levels = plane if self.source.dtype == np.uint8 else (plane * (255 / 65535)).round()
            image = levels / 255
        else:
            image = ((plane - self._window.lower_hu) / self._window.width_hu).clamp(0.0, 1.0)
        return {"image": image, "label": self.labels[item]}

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        counts = Counter(self.labels)
        return {
            "count": len(self),
            "kind": self.source.kind,
            "section": self.section,
            "classes": {name: counts[number] for number, name in enumerate(self.class_names)},
            "groups": len(set(self.groups)),
            "grouped_by": self._grouped_by,
            "values": "gray levels" if self.window is None else "Hounsfield units",
            "window_hu": None if self.window is None else list(self.window),
            "fingerprint": self.fingerprint,
            **self.source.describe(),
        }
