"""Training from a slice store: the store as a source of slices, and as a PyTorch dataset."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.slice_images import SliceImages
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice

__all__ = ["SliceDataset", "StoreSource"]

logger = logging.getLogger(__name__)


class StoreSource:
    """A slice store as one of the inputs of :func:`~monai_ext.data.open_slices`; slices are grouped by patient.

    Args:
        store: the store, or its folder.

    Raises:
        SliceStoreError: it cannot be opened.
        DatasetError: it has no slices.
    """

    kind = "slice store"
    grouped_by = "patient"

    def __init__(self, store: SliceStore | str | Path) -> None:
        self.store = store if isinstance(store, SliceStore) else SliceStore(store)
        if not len(self.store):
            raise DatasetError(
                f"The slice store {self.store.path} has no slices: ingest something into it, with"
                f" `python -m monai_ext ingest SOURCE {self.store.path}`."
            )
        self._warn_about_old_pseudonyms()
        self.root = self.store.path
        self.dtype: np.dtype[Any] = self.store.dtype
        patients = self.store.columns(["patient_id"]).column("patient_id").combine_chunks().dictionary_encode()
        names = patients.dictionary.to_pylist()
        self.groups: Sequence[str] = tuple(names[code] for code in patients.indices.to_numpy())
        self.held_together = self.groups  # the store knows pseudonyms only
        self.fingerprint = self.store.content_hash

    def _warn_about_old_pseudonyms(self) -> None:
        if any("labelled_pictures" in made and "key" not in made for made in self.store.provenance):
            logger.warning(
                "The pseudonyms in the slice store %s were made without a key, by an older version of this program: who"
                " can guess a patient's id finds it confirmed. Make it again with `python -m monai_ext data store`.",
                self.store.path,
            )

    def __len__(self) -> int:
        return len(self.store)

    def read(self, index: int) -> np.ndarray:
        """One slice as float32 (rows, columns), in Hounsfield units, stored values of MR, or gray levels.

        Raises:
            SliceStoreError: its chunk is damaged.
        """
        return self.store.read(index).astype(np.float32)

    def decoded_together(self, index: int) -> range:
        """Every slice is a chunk of its own."""
        return range(index, index + 1)

    def describe(self) -> dict[str, Any]:
        """Source kind, series, and the sizes that occur."""
        sizes = sorted({(int(rows), int(columns)) for _, rows, columns in self.store.shapes}, key=min)
        told: dict[str, Any] = {"values": "stored values of MR"} if self.store.source_kind == "mr" else {}
        return told | {
            "source_kind": self.store.source_kind,
            "series": len(self.store.series_ids),
            "sizes": len(sizes),
            "smallest_rows_columns": list(sizes[0]),
            "largest_rows_columns": list(sizes[-1]),
        }


class SliceDataset(SliceImages):
    """Slices of a store as float32 tensors (C, S, S) in [0, 1], windowed when they are asked for.

    :func:`~monai_ext.data.open_slices` is the same with a part held out; this one takes the slices that a split names.

    Args:
        store: the store, or its folder.
        indices: which of the store's slices, in order; all when omitted.
        load_size: S, side of the items in pixels.
        window: preset, ``[center_hu, width_hu]``, or a list of them; pictures take ``"full"`` only.
        channels: C; one window is repeated, several windows must be as many.
        cache_gib: memory for resized slices in GiB; 0 keeps none.

    Raises:
        DatasetError: the store cannot be opened or has no slices.
        ValueError: a window on pictures, or windows that do not fit the channels.
    """

    def __init__(
        self,
        store: SliceStore | str | Path,
        *,
        indices: Sequence[int] | None = None,
        load_size: int = 256,
        window: WindowChoice | Sequence[WindowChoice] = "full",
        channels: int = 1,
        cache_gib: float = 1.0,
    ) -> None:
        source = StoreSource(store)
        super().__init__(
            source,
            indices=range(len(source)) if indices is None else indices,
            load_size=load_size,
            window=window,
            channels=channels,
            cache_gib=cache_gib,
        )
