"""Features in a file that every data tool reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_ext.embedding.slices import SlicesToEmbed

__all__ = ["write_feature_table"]


def write_feature_table(
    path: str | Path, slices: SlicesToEmbed, features: Iterable[Tensor], *, about: Mapping[str, Any]
) -> int:
    """Write a Parquet file with one row a slice, batch by batch: more slices than fit into memory are no matter.

    A slice whose features are all NaN, since it cannot be decoded, gets no row.

    Columns: ``index``, the slice's place in the data (for a folder: its files in order of their names); ``group``, a
    pseudonym of its patient, series or picture; ``label``, and ``section`` of the published split, null where there is
    none; ``features``, a list of D float32. No name of a file or folder is in it.

    Args:
        path: of the file, in an existing folder; it is there completely or not at all.
        slices: of which the features are.
        features: (B, D) batch after batch, in the order of the slices.
        about: plain values on encoder and data, kept as JSON under ``monai_ext`` in the file's metadata.

    Returns:
        D.

    Raises:
        ValueError: there is no slice.
        OSError: the disk refuses the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    writer: pq.ParquetWriter | None = None
    row, dimensions = 0, 0
    try:
        for batch in features:
            if writer is None:
                dimensions = batch.shape[1]
                writer = pq.ParquetWriter(partial, _schema(dimensions, about))
            there = ~batch.isnan().all(dim=1)
            rows = (there.nonzero().ravel() + row).tolist()
            columns: dict[str, Any] = {
                "index": [slices.images.indices[number] for number in rows],
                "group": [slices.groups[number] for number in rows],
                "label": [slices.labels[number] if slices.labels else None for number in rows],
                "section": [slices.sections[number] if slices.sections else None for number in rows],
                "features": pa.FixedSizeListArray.from_arrays(pa.array(batch[there].numpy().ravel()), dimensions),
            }
            writer.write_table(pa.table(columns, schema=writer.schema))
            row += len(batch)
        if writer is None:
            raise ValueError("A table of features was asked for, but there is no slice.")
        writer.close()
        os.replace(partial, path)
    finally:
        if writer is not None and partial.exists():
            writer.close()
        partial.unlink(missing_ok=True)
    return dimensions


def _schema(dimensions: int, about: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    fields = [
        ("index", pa.int64()),
        ("group", pa.string()),
        ("label", pa.string()),
        ("section", pa.string()),
        ("features", pa.list_(pa.float32(), dimensions)),
    ]
    return pa.schema(fields, metadata={"monai_ext": json.dumps(about)})
