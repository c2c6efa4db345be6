"""Images with their masks, at their own size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from monai_ext.data.segmented.masked_data import MaskedData, MaskedSlice
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.splits.items import SplitSource
from monai_ext.errors import DatasetError

__all__ = ["SegmentedImages"]


class SegmentedImages(Dataset[dict[str, Any]]):
    """Images with their masks; made by :func:`~monai_ext.data.open_segmented_sections`.

    An item is ``{"image": float32 (C, H, W) in [0, 1], "label": int64 (1, H, W), "index": int}``, each at its own H and
    W, for the chain of transforms with which a network is trained and used; ``index`` finds ``masks`` again after
    shuffling and sharing out.

    Attributes:
        images: the images alone.
        masks: of every item, its mask at its own size.
        class_names: background first.
        labels: of every item 1 when anything is marked in it, else 0.
        groups: of every item, a pseudonym of the patient, or of the near duplicates, that it belongs to.
        sections: of every item, its section in the published split; empty where there is none.
        ids: of every item, its name in tables and splits. It may tell who the patient is: not for results.
        near_duplicates: numbers of the items that resemble an item of an earlier section.
        name: short name for metrics.
        section: which one it is.
        fingerprint: identifies the data, all sections together.
    """

    def __init__(
        self,
        images: SliceImages,
        *,
        data: MaskedData,
        items: SplitSource,
        places: Sequence[int],
        section: str,
        near_duplicates: Sequence[int] = (),
    ) -> None:
        """Put images together with the masks of the items at ``places``; ``items`` have the groups to be used."""
        self.images = images
        self.masks: tuple[MaskedSlice, ...] = tuple(data.slices[place] for place in places)
        self.class_names = data.class_names
        self.labels = tuple(int(mask.is_marked) for mask in self.masks)
        self.groups = items.pseudonyms(places)
        self.sections = tuple(items.official[place] for place in places) if items.official else ()
        self.ids = tuple(items.ids[place] for place in places)
        self.near_duplicates = tuple(near_duplicates)
        self.name = "_".join(data.class_names[1:])
        self.section = section
        self.fingerprint = items.content_hash
        self._grouped_by = items.grouped_by

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, item: int) -> dict[str, Any]:
        """One image and its mask.

        Raises:
            DatasetError: its file cannot be decoded; the message names the file.
        """
        number = range(len(self))[item]
        image, label = self.images[number], torch.from_numpy(self.masks[number].numbers.astype("int64"))[None]
        if image.shape[1:] != label.shape[1:]:
            raise DatasetError(
                f"The image {{image}} is decoded as {image.shape[1]} x {image.shape[2]} pixels and its mask has"
                f" {label.shape[1]} x {label.shape[2]}: export both again at the same size.",
                image=self.ids[number],
            )
        return {"image": image, "label": label, "index": number}

    def describe(self) -> dict[str, Any]:
        """What is in it, as plain JSON values without identity."""
        return self.images.describe() | {
            "section": self.section,
            "classes": list(self.class_names),
            "with_a_mask": sum(self.labels),
            "cases": len({mask.case for mask in self.masks}),
            "groups": len(set(self.groups)),
            "grouped_by": self._grouped_by,
            "fingerprint": self.fingerprint,
        }

    def class_shares(self) -> dict[str, float]:
        """Of each class, its share of all pixels."""
        counts: Counter[int] = Counter()
        for mask in self.masks:
            counts.update(dict(enumerate(torch.from_numpy(mask.numbers.copy()).flatten().bincount().tolist())))
        total = sum(counts.values())
        return {name: counts[number] / total for number, name in enumerate(self.class_names)}
