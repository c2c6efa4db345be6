"""A slice store as a source of slices."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.sources.slice_stack import SliceStack, slice_distance, stack_fault
from monai_ext.data.sources.source import MR_SIGNAL, SliceSource, describe_sizes, group_name
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StoreSource"]

logger = logging.getLogger(__name__)


class StoreSource(SliceSource):
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
        self.store.scales()  # of MR, refused where it has none
        self.dtype = self.store.dtype
        patients = self.store.columns(["patient_id"]).column("patient_id").combine_chunks().dictionary_encode()
        names = patients.dictionary.to_pylist()
        super().__init__(
            self.store.path,
            held_together=[names[code] for code in patients.indices.to_numpy()],
            fingerprint=self.store.content_hash,
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Of every slice, the pseudonym of its patient that the store has."""
        return self.held_together

    def _warn_about_old_pseudonyms(self) -> None:
        if self.store.has_old_pseudonyms:
            logger.warning(
                "The pseudonyms in the slice store %s were made without a key, by an older version of this program: who"
                " can guess a patient's id finds it confirmed. Make it again with `python -m monai_ext data store`.",
                self.store.path,
            )

    @property
    def values(self) -> str:
        """What its values are."""
        return MR_SIGNAL if self.store.source_kind == "mr" else super().values

    def read(self, index: int) -> np.ndarray:
        """One slice as float32 (rows, columns): Hounsfield units, MR (0 and 10,000 are percentiles) or gray levels.

        Raises:
            SliceStoreError: its chunk is damaged.
        """
        return self.store.read(index).astype(np.float32)

    def stacks(self) -> list[SliceStack]:
        """One a series, in order of position. Slices that were set aside leave gaps, which are its fault.

        Raises:
            DatasetError: the store has pictures, or MR.
        """
        if self.store.source_kind == "picture":
            return super().stacks()
        if self.store.source_kind != "ct":
            raise DatasetError(
                "The slice store {store} holds MR; volumes are made of CT alone, in Hounsfield units. Pre-train on its"
                " slices, in 2D.",
                store=self.store.path,
            )
        hashes = self.store.series_hashes
        series = self.store.index.groupby("series_id", sort=False)
        return [self._stack(rows, hashes[series_id]) for series_id, rows in series]

    def _stack(self, rows: pd.DataFrame, series_hash: str) -> SliceStack:
        rows = rows.sort_values("position_mm", kind="stable")
        first = rows.iloc[0]
        positions = rows["position_mm"].to_numpy(np.float64)
        in_plane = float(first["row_spacing_mm"]), float(first["column_spacing_mm"])  # NaN where they are not known
        fault = stack_fault(positions, spacing_mm=in_plane, tilt_deg=_known(first["gantry_tilt_deg"]))
        return SliceStack(
            name=f"series {first['series_id']}",
            indices=[int(index) for index in rows.index],
            shape=(len(rows), int(first["rows"]), int(first["columns"])),
            spacing_mm=(slice_distance(positions), *in_plane),
            fingerprint=group_name(series_hash, rows["slice_number"].tolist()),  # some may be set aside
            fault=fault,
        )

    def describe(self) -> dict[str, Any]:
        """Source kind, series, and the sizes that occur."""
        return {
            "source_kind": self.store.source_kind,
            "series": len(self.store.series_ids),
            **describe_sizes((int(rows), int(columns)) for _, rows, columns in self.store.shapes),
        }


def _known(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
