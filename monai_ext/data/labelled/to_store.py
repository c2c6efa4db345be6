"""Brings labelled pictures into a slice store, with label, patient and published section in its index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.sources.open import MEDMNIST, open_source
from monai_ext.data.sources.source import group_name
from monai_ext.data.splits.items import SplitSource
from monai_ext.data.store.reader import SliceStoreWriter

__all__ = ["store_labelled_pictures"]

_BATCH = 256


def store_labelled_pictures(source: SplitSource, path: str | Path, store: str | Path) -> Iterator[int]:
    """Write all items of a labels table or of a MedMNIST file to a store of 8-bit pictures.

    Pictures of one size and section are put together in series of up to 256; a series says nothing about patients
    here, ``patient_id`` does. What is stored already is passed over. Splits are then made of the store:
    ``python -m monai_ext splits make STORE --official``.

    Args:
        source: the items, see :func:`~monai_ext.data.splits.items.open_split_source`.
        path: where ``source`` was opened.
        store: folder of the store.

    Yields:
        The number of pictures that were looked at since the last time.

    Raises:
        DatasetError: a picture cannot be read, is in colour in a MedMNIST file, or a label is not a short code.
    """
    path = Path(path).expanduser()
    waiting: dict[tuple[tuple[int, ...], str], list[tuple[int, np.ndarray]]] = {}
    with SliceStoreWriter.open(store, source_kind="picture") as writer:
        for place, pixels in enumerate(_pictures(path, source)):
            key = pixels.shape, source.official[place] if source.official else ""
            batch = waiting.setdefault(key, [])
            batch.append((place, pixels))
            if len(batch) == _BATCH:
                _write(writer, source, waiting.pop(key))
                yield _BATCH
        for batch in waiting.values():
            _write(writer, source, batch)
            yield len(batch)


def _write(writer: SliceStoreWriter, source: SplitSource, batch: list[tuple[int, np.ndarray]]) -> None:
    places = [place for place, _ in batch]
    series_key = group_name(source.content_hash, *places)
    if not writer.has_series(series_key):
        pixels = np.stack([pixels for _, pixels in batch])
        rows = [_row(source, place) for place in places]
        writer.add_series(series_key, pixels, rows, {"labelled_pictures": len(batch)})


def _row(source: SplitSource, place: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "patient_id": group_name(source.name, source.groups[place]),
        "label": source.labels[place] or None,
        "source_format": source.kind.replace(" ", "_"),
    }
    if source.sites:
        row["site"] = source.sites[place]
    if source.official:
        row["section"] = source.official[place]
    return row


def _pictures(path: Path, source: SplitSource) -> Iterator[np.ndarray]:
    """8-bit gray levels (rows, columns) of every item, in order."""
    pictures = open_source(path, pictures=None if source.kind == MEDMNIST else source.ids)
    white = np.iinfo(pictures.dtype).max
    for place in range(len(source.ids)):
        yield np.rint(pictures.read(place) * (255 / white)).astype(np.uint8)
