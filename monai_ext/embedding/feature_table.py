"""Features in a file that every data tool reads, and that is verified when it is read here."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_ext.errors import DamagedFileError
from monai_ext.files import open_regular, sync_folder

__all__ = ["FeatureRows", "FeatureTable", "read_feature_table", "write_feature_table"]

_COLUMNS = ("index", "group", "label", "section")
_ABOUT, _HASH = b"monai_ext", b"monai_ext_sha256"


@dataclass(frozen=True)
class FeatureRows:
    """Of which images features are.

    Attributes:
        indices: place of every image in its data.
        groups: of every image, a pseudonym of the patient, series or picture.
        labels: class of every image, by name; empty where there are none.
        sections: of every image in the published split; empty where there is none.
    """

    indices: Sequence[int]
    groups: Sequence[str]
    labels: Sequence[str | None] = ()
    sections: Sequence[str | None] = ()

    def __getitem__(self, number: int) -> tuple[int, str, str | None, str | None]:
        """Index, group, label and section of a row."""
        label = self.labels[number] if self.labels else None
        return self.indices[number], self.groups[number], label, self.sections[number] if self.sections else None


@dataclass(frozen=True)
class FeatureTable:
    """What :func:`read_feature_table` gives.

    Attributes:
        features: (N, D), float32.
        rows: of which images they are.
        about: what the file says on encoder and data.
    """

    features: Tensor
    rows: FeatureRows
    about: dict[str, Any] = field(default_factory=dict)


def write_feature_table(
    path: str | Path, rows: FeatureRows, features: Iterable[Tensor], *, about: Mapping[str, Any]
) -> int:
    """Write a Parquet file with one row an image, batch by batch: more images than fit into memory are no matter.

    An image whose features are all NaN, since it cannot be decoded, gets no row.

    Columns: ``index``, the image's place in the data (for a folder: its files in order of their names); ``group``, a
    pseudonym of its patient, series or picture; ``label``, and ``section`` of the published split, null where there is
    none; ``features``, a list of D float32. No name of a file or folder is in it. The file holds the SHA-256 of its
    content.

    Args:
        path: of the file, in an existing folder; it is there completely or not at all.
        rows: of which images the features are.
        features: (B, D) batch after batch, in the order of the rows.
        about: plain values on encoder and data, kept as JSON under ``monai_ext`` in the file's metadata.

    Returns:
        D.

    Raises:
        ValueError: there is no image.
        OSError: the disk refuses the file.
    """
    import pyarrow.parquet as pq

    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    writer: pq.ParquetWriter | None = None
    text = json.dumps(about).encode()
    digest = hashlib.sha256(text)
    row, dimensions = 0, 0
    try:
        for batch in features:
            if writer is None:
                dimensions = batch.shape[1]
                writer = pq.ParquetWriter(partial, _schema(dimensions, text), write_page_checksum=True)
            there = ~batch.isnan().all(dim=1)
            kept_rows = [rows[number] for number in (there.nonzero().ravel() + row).tolist()]
            writer.write_table(_arrow_table(kept_rows, batch[there], writer.schema))
            _add(digest, kept_rows, batch[there])
            row += len(batch)
        if writer is None:
            raise ValueError("A table of features was asked for, but there is no slice.")
        writer.add_key_value_metadata({_HASH: digest.hexdigest().encode()})
        writer.close()
        os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        if writer is not None and partial.exists():
            writer.close()
        partial.unlink(missing_ok=True)
    return dimensions


def read_feature_table(path: str | Path) -> FeatureTable:
    """Read a table of features, after comparing its content with the SHA-256 that it holds.

    Raises:
        DamagedFileError: it is truncated, or differs from its SHA-256.
        ValueError: it is no such table, or an ``.npz`` as early versions wrote it.
        OSError: it cannot be opened.

    Example:
        >>> import tempfile
        >>> rows = FeatureRows(indices=[0, 1], groups=["a", "b"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_feature_table(f"{folder}/features.parquet", rows, [torch.eye(2)], about={"method": "SparK"})
        ...     table = read_feature_table(f"{folder}/features.parquet")
        >>> table.features.shape, table.rows.groups, table.about
        (torch.Size([2, 2]), ['a', 'b'], {'method': 'SparK'})
    """
    path = Path(path)
    if zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is an archive of arrays, as early versions wrote features. They are Parquet now: write them again,"
            " with the bundle's configs/inference.json or with python -m monai_ext embed."
        )
    metadata, kept_rows, features = _content(path)
    if kept_rows is None or _HASH not in metadata:
        raise ValueError(f"{path} is no table of features as monai_ext.embedding writes it.")
    digest = hashlib.sha256(metadata.get(_ABOUT, b""))
    _add(digest, kept_rows, features)
    if digest.hexdigest().encode() != metadata[_HASH]:
        raise _damaged(path, "its content does not have the SHA-256 that it names")
    rows = FeatureRows(*(list(values) for values in zip(*kept_rows, strict=True)))
    return FeatureTable(features, rows, json.loads(metadata[_ABOUT]))


def _content(path: Path) -> tuple[Mapping[bytes, bytes], list[tuple[Any, ...]] | None, Tensor]:
    """Metadata, rows and features as they are in the file; no rows where it has other columns."""
    import pyarrow.parquet as pq

    with open_regular(path) as file:
        try:
            table = pq.ParquetFile(file, page_checksum_verification=True).read(use_threads=False)
            metadata = table.schema.metadata or {}
            if table.column_names != [*_COLUMNS, "features"]:
                return metadata, None, torch.empty(0)
            features = np.stack(table.column("features").to_numpy())
            if not table.schema.equals(_schema(features.shape[1], b"")):
                raise ValueError("its columns have other types")
            kept_rows = list(zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True))
        except Exception as error:  # flipped bits make pyarrow fail in many ways
            raise _damaged(path, str(error)) from error
    return metadata, kept_rows, torch.from_numpy(features)


def _add(digest: Any, kept_rows: Iterable[tuple[Any, ...]], features: Tensor) -> None:
    """Let a hash know rows and their features, the same for whatever batches they come in."""
    for row, values in zip(kept_rows, features.numpy().astype("<f4"), strict=True):
        digest.update(json.dumps(row).encode() + values.tobytes())


def _arrow_table(kept_rows: Sequence[tuple[Any, ...]], features: Tensor, schema: Any) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {name: [row[place] for row in kept_rows] for place, name in enumerate(_COLUMNS)}
    columns["features"] = pa.FixedSizeListArray.from_arrays(pa.array(features.numpy().ravel()), features.shape[1])
    return pa.table(columns, schema=schema)


def _schema(dimensions: int, about: bytes) -> Any:
    import pyarrow as pa

    fields = [
        ("index", pa.int64()),
        ("group", pa.string()),
        ("label", pa.string()),
        ("section", pa.string()),
        ("features", pa.list_(pa.float32(), dimensions)),
    ]
    return pa.schema(fields, metadata={_ABOUT: about})


def _damaged(path: Path, cause: str) -> DamagedFileError:
    return DamagedFileError(f"The table of features {path} is truncated or damaged: {cause}. Copy or make it again.")
