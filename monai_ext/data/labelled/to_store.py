"""Brings labelled pictures into a slice store, with label, patient and published section in its index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.pseudonyms import Pseudonyms, load_pseudonyms
from monai_ext.data.sources.open import MEDMNIST, open_source
from monai_ext.data.splits.items import SplitSource
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import SliceStoreError

__all__ = ["store_labelled_pictures"]

_BATCH = 256


def store_labelled_pictures(
    source: SplitSource, path: str | Path, store: str | Path, *, key_file: str | Path | None = None
) -> Iterator[int]:
    """Write all items of a labels table or of a MedMNIST file to a store of 8-bit pictures.

    Pictures of one size and section are put together in series of up to 256; a series says nothing about patients
    here, ``patient_id`` does. What is stored already is passed over. Splits are then made of the store:
    ``python -m monai_ext splits make STORE --official``.

    Args:
        source: the items, see :func:`~monai_ext.data.splits.items.open_split_source`.
        path: where ``source`` was opened.
        store: folder of the store.
        key_file: secret key of the pseudonyms, see :func:`~monai_ext.data.pseudonyms.default_key_file`.

    Yields:
        The number of pictures that were looked at since the last time.

    Raises:
        DatasetError: a picture cannot be read, is in colour in a MedMNIST file, or a label is not a short code.
        SliceStoreError: the store was made with another key, or without one, as older versions did.
    """
    path = Path(path).expanduser()
    pseudonyms = load_pseudonyms(key_file)
    waiting: dict[tuple[tuple[int, ...], str], list[tuple[int, np.ndarray]]] = {}
    with SliceStoreWriter.open(store, source_kind="picture") as writer:
        _compare_key(SliceStore(writer.path), pseudonyms)
        for place, pixels in enumerate(_pictures(path, source)):
            key = pixels.shape, source.official[place] if source.official else ""
            batch = waiting.setdefault(key, [])
            batch.append((place, pixels))
            if len(batch) == _BATCH:
                _write(writer, source, waiting.pop(key), pseudonyms)
                yield _BATCH
        for batch in waiting.values():
            _write(writer, source, batch, pseudonyms)
            yield len(batch)


def _compare_key(store: SliceStore, pseudonyms: Pseudonyms) -> None:
    """Refuse to continue a store under another key: its pictures would be stored twice, its patients get second ids."""
    for provenance in store.provenance:
        if provenance.get("labelled_pictures") and provenance.get("key") != _key_mark(pseudonyms):
            raise SliceStoreError(
                f"The labelled pictures in the store {store.path} have pseudonyms of another key, or, if an older"
                " version of this program made it, pseudonyms that can be found out by trying. Give its key (--key), or"
                " delete the store, make it again, and make the splits again that were made of it."
            )


def _key_mark(pseudonyms: Pseudonyms) -> str:
    """Tells keys apart, and nothing about them."""
    return pseudonyms.letters("check")


def _write(
    writer: SliceStoreWriter, source: SplitSource, batch: list[tuple[int, np.ndarray]], pseudonyms: Pseudonyms
) -> None:
    places = [place for place, _ in batch]
    series_key = pseudonyms.of("labelled pictures", source.content_hash, *places)
    if not writer.has_series(series_key):
        pixels = np.stack([pixels for _, pixels in batch])
        rows = [_row(source, place, pseudonyms) for place in places]
        provenance = {"labelled_pictures": len(batch), "key": _key_mark(pseudonyms)}
        writer.add_series(series_key, pixels, rows, provenance)


def _row(source: SplitSource, place: int, pseudonyms: Pseudonyms) -> dict[str, Any]:
    row: dict[str, Any] = {
        "patient_id": pseudonyms.group(source.group_name(source.groups[place])),
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
