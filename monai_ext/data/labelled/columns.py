"""What else is known of labelled items: age, scanner, slice thickness; for results by subgroup, not for training."""

from __future__ import annotations

from collections.abc import Sequence

from monai_ext.data.labelled.labels import LabelledData
from monai_ext.data.sources.open import LABELS_TABLE, SLICE_STORE
from monai_ext.data.store.format import INDEX_COLUMNS
from monai_ext.data.store.reader import SliceStore
from monai_ext.data.tables import read_table
from monai_ext.errors import SplitError
from monai_ext.foreign_text import listed

__all__ = ["item_column"]


def item_column(data: LabelledData, name: str, places: Sequence[int]) -> tuple[str, ...]:
    """One further column of a labels table, or of the index of a slice store; what is not known is empty.

    Args:
        data: the labelled items.
        name: of the column.
        places: positions of the items that are asked about.

    Raises:
        SplitError: there is no such column; those that there are are named.
    """
    if data.place.kind == LABELS_TABLE:
        table = read_table(data.place.table)
        accepted: tuple[str, ...] = table.header
        cells = [row[accepted.index(name)].strip() for row in table.rows] if name in accepted else []
    elif data.place.kind == SLICE_STORE:
        accepted = tuple(INDEX_COLUMNS)
        cells = _index_column(SliceStore(data.place.path), name) if name in accepted else []
    else:
        accepted, cells = (), []
    if name not in accepted:
        known = f"its columns are {listed(accepted)}" if accepted else "only labels tables and slice stores have any"
        raise SplitError(f"{data.items.name} has no column {name!r}; {known}.")
    return tuple(cells[place] for place in places)


def _index_column(store: SliceStore, name: str) -> list[str]:
    table = store.columns(None)
    if name not in table.column_names:
        return [""] * len(table)
    return ["" if value is None else str(value) for value in table.column(name).to_pylist()]
