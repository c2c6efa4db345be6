"""Features as Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from monai_ext.embedding import (
    FeatureRows,
    KeptFeatures,
    encode_slices,
    open_slices_to_embed,
    read_feature_table,
    write_feature_table,
)
from monai_ext.errors import DamagedFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine pictures, the table of five of them beside them; names tell patients."""
    (tmp_path / "data").mkdir()
    rows = ["file,label,patient_id,split"]
    for number in range(9):
        name = f"SURNAME_{number}.png"
        Image.fromarray(np.full((10, 12), 20 * number, np.uint8)).save(tmp_path / "data" / name)
        if number % 2 == 0:
            rows.append(
                f"{name},{'yes' if number > 4 else 'no'},SURNAME {number % 8},{'train' if number % 8 else 'test'}"
            )
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "data"


def _labelled(folder: Path) -> Path:
    table = folder / "labels.csv"
    table.write_text((folder.parent / "labels.csv").read_text())
    return folder


def _write(path: Path, folder: Path, **options):
    slices = open_slices_to_embed(folder, image_size=8, window="lung", channels=1, **options)
    encoder = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(2))  # (B, 1, 4): maps of one channel with four places
    batches = encode_slices(encoder, slices, device=torch.device("cpu"), batch_size=4, num_workers=0)
    write_feature_table(path, slices.rows, batches, about={"method": "pooling"})
    return slices, pq.read_table(path)


def test_each_slice_has_a_row_with_its_features_and_nothing_that_identifies(folder: Path, tmp_path: Path) -> None:
    _, table = _write(tmp_path / "features.parquet", folder)
    assert table.column_names == ["index", "group", "label", "section", "features"]
    assert table.column("index").to_pylist() == list(range(9))
    grays = [row[0] for row in table.column("features").to_pylist()]
    assert grays == pytest.approx([20 * number / 255 for number in range(9)])
    assert table.column("label").null_count == table.column("section").null_count == 9
    assert json.loads(table.schema.metadata[b"monai_ext"]) == {"method": "pooling"}
    assert b"SURNAME" not in (tmp_path / "features.parquet").read_bytes()


def test_a_table_beside_the_pictures_gives_labels_groups_and_sections(folder: Path, tmp_path: Path) -> None:
    slices, table = _write(tmp_path / "features.parquet", _labelled(folder))
    assert table.column("label").to_pylist() == ["no", "no", "no", "yes", "yes"]
    assert table.column("section").to_pylist() == ["test", "training", "training", "training", "test"]
    groups = table.column("group").to_pylist()
    assert groups[0] == groups[4]
    assert len(set(groups)) == 4
    assert b"SURNAME" not in (tmp_path / "features.parquet").read_bytes()
    assert len(slices.images) == 5


def test_a_table_that_cannot_be_finished_leaves_what_was_there(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    slices, _ = _write(path, folder)
    before = path.read_bytes()

    def broken():
        yield torch.rand(4, 3)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        write_feature_table(path, slices.rows, broken(), about={})
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "features.parquet", "labels.csv"]


def test_no_slice_is_refused(folder: Path, tmp_path: Path) -> None:
    slices = open_slices_to_embed(folder, image_size=8, window="full", channels=1)
    with pytest.raises(ValueError, match="there is no slice"):
        write_feature_table(tmp_path / "features.parquet", slices.rows, [], about={})


def test_features_that_are_kept_are_those_of_the_chosen_rows() -> None:
    kept, progress = KeptFeatures(10, limit=4), []
    features = torch.arange(20.0).view(10, 2)
    passed = list(kept.pass_on(iter(features.split(3)), progress.append))
    assert torch.equal(torch.cat(passed), features)
    assert torch.equal(kept.features, features[[0, 2, 5, 7]])
    assert progress == [3, 3, 3, 1]


@pytest.fixture
def small_table(tmp_path: Path) -> Path:
    rows = FeatureRows([4, 2, 7], ["a", "b", "b"], ["yes", "no", "no"], ["training", "training", "test"])
    path = tmp_path / "features.parquet"
    write_feature_table(path, rows, torch.arange(6.0).view(3, 2).split(2), about={"method": "SparK"})
    return path


def test_what_was_written_is_read(small_table: Path) -> None:
    table = read_feature_table(small_table)
    assert torch.equal(table.features, torch.arange(6.0).view(3, 2))
    assert table.rows == FeatureRows([4, 2, 7], ["a", "b", "b"], ["yes", "no", "no"], ["training", "training", "test"])
    assert table.about == {"method": "SparK"}


def test_no_flipped_bit_ever_changes_what_is_read(small_table: Path) -> None:
    whole, content, generator, refused = read_feature_table(small_table), small_table.read_bytes(), Random(0), 0
    for place in range(0, len(content), 5):
        flipped = bytearray(content)
        flipped[place] ^= 1 << generator.randrange(8)
        small_table.write_bytes(flipped)
        try:
            found = read_feature_table(small_table)
        except (DamagedFileError, ValueError):
            refused += 1
        else:
            assert torch.equal(found.features, whole.features), f"byte {place}"
            assert (found.rows, found.about) == (whole.rows, whole.about), f"byte {place}"
    assert refused > len(content) / 20


def test_features_of_early_versions_are_refused_with_what_to_do(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "features.npz", features=np.zeros((2, 3)), group=np.array(["a", "b"]))
    with pytest.raises(ValueError, match=r"as early versions wrote.*inference\.json or with python -m monai_ext embed"):
        read_feature_table(tmp_path / "features.npz")


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="is no table of features"):
        read_feature_table(tmp_path / "other.parquet")


def test_slices_without_features_are_not_kept() -> None:
    kept, features = KeptFeatures(10, limit=4), torch.arange(20.0).view(10, 2)
    features[[2, 3]] = torch.nan
    assert len(list(kept.pass_on(iter(features.split(3)), lambda count: None))) == 4
    assert (kept.rows, kept.left_out) == ([0, 5, 7], 2)
    assert torch.equal(kept.features, features[[0, 5, 7]])


def test_a_slice_that_cannot_be_decoded_costs_its_own_row(folder: Path, tmp_path: Path) -> None:
    damaged = folder / "SURNAME_4.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    _, table = _write(tmp_path / "features.parquet", folder)
    assert table.column("index").to_pylist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert np.isfinite(table.column("features").to_pylist()).all()
