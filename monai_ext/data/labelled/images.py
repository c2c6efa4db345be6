"""Labelled images, at their own size or ready for a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from monai_ext.data.slice_images import SliceImages
from monai_ext.data.splits.items import SplitSource

__all__ = ["LabelledImages"]


class LabelledImages(Dataset[dict[str, Any]]):
    """Images with their classes; made by :func:`~monai_ext.data.open_labelled_images`.

    An item is ``{"image": float32 (C, H, W) in [0, 1], "label": int}``, see :class:`~monai_ext.data.SliceImages`: with
    each image's own H and W, for the chain of transforms with which a classifier is trained and used, or resized to S.
    At their own size, MONAI's readers followed by ``ScaleIntensityRanged`` give the same numbers, which is how
    inference reads images.

    Attributes:
        images: the images alone.
        labels: of every item, its position in ``class_names``.
        class_names: in order; they are those of the whole source, whatever the section.
        groups: of every item, a pseudonym of the patient, or of the near duplicates, that it belongs to.
        sections: of every item, its section in the published split; empty where there is none.
        ids: of every item, its name in tables and splits. It may tell who the patient is: not for results.
        near_duplicates: numbers of the items that resemble an item of an earlier section.
        name: short name for metrics, made of the folder's name.
        section: which one it is.
        fingerprint: identifies the data, all sections together.
    """

    def __init__(
        self,
        images: SliceImages,
        *,
        items: SplitSource,
        class_names: Mapping[str, str],
        section: str,
        name: str = "labelled",
        near_duplicates: Sequence[int] = (),
    ) -> None:
        """Label images of ``items``, which those at ``images.indices`` are; ``class_names`` are labels with names."""
        numbers = {label: number for number, label in enumerate(class_names)}
        places = images.indices
        self.images = images
        self.class_names = tuple(class_names.values())
        self.labels = tuple(numbers[items.labels[place]] for place in places)
        self.groups = items.pseudonyms(places)
        self.sections = tuple(items.official[place] for place in places) if items.official else ()
        self.ids = tuple(items.ids[place] for place in places)
        self.near_duplicates = tuple(near_duplicates)
        self.name = name
        self.section = section
        self.fingerprint = items.content_hash
        self._grouped_by = items.grouped_by

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One image and its class.

        Raises:
            DatasetError: its file cannot be decoded; the message names the file.
        """
        return {"image": self.images[item], "label": self.labels[item]}

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        counts = Counter(self.labels)
        return self.images.describe() | {
            "section": self.section,
            "classes": {name: counts[number] for number, name in enumerate(self.class_names)},
            "groups": len(set(self.groups)),
            "grouped_by": self._grouped_by,
            "fingerprint": self.fingerprint,
        }
