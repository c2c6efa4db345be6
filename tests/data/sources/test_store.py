"""Training items from slice stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.slice_stores import make_store
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import DatasetError


def _slices(path: Path, *, load_size: int = 16, **options) -> SliceImages:
    source = StoreSource(path)
    return SliceImages(source, **({"indices": range(len(source)), "load_size": load_size} | options))


def test_the_source_gives_values_patients_and_the_content_hash(tmp_path: Path) -> None:
    store = SliceStore(make_store(tmp_path / "store"))
    source = StoreSource(store.path)
    assert len(source) == 9
    assert source.groups == ("patient-a1",) * 3 + ("patient-b2",) * 3 + ("patient-c3",) * 3
    assert source.fingerprint == store.content_hash
    assert source.dtype == np.int16
    np.testing.assert_array_equal(source.read(5), store.read(5).astype(np.float32))
    assert source.describe() == {
        "source_kind": "ct",
        "series": 3,
        "sizes": 3,
        "smallest_rows_columns": [20, 17],
        "largest_rows_columns": [22, 19],
    }


def test_items_are_windowed_when_they_are_asked_for(tmp_path: Path) -> None:
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        writer.add_series("series-x", np.full((1, 8, 8), 140, np.int16), [{"patient_id": "patient-01"}], {})
    dataset = _slices(tmp_path / "store", load_size=8, window=[[40, 400], [40, 80]], channels=2)
    assert dataset[0].shape == (2, 8, 8)
    assert dataset[0].dtype == torch.float32
    assert dataset[0][:, 0, 0].tolist() == pytest.approx([0.75, 1.0])


def test_pictures_are_scaled_by_their_type_and_take_no_window(tmp_path: Path) -> None:
    path = make_store(tmp_path / "store", source_kind="picture")
    item = _slices(path, load_size=16)[1]
    assert torch.allclose(item, torch.full((1, 16, 16), 100 / 255))
    with pytest.raises(ValueError, match="cannot be applied to pictures"):
        _slices(path, window="lung")


def test_loader_workers_give_the_items_of_the_main_process(tmp_path: Path) -> None:
    dataset = _slices(make_store(tmp_path / "store"), indices=[8, 0, 4], load_size=16, cache_gib=0)
    loader = DataLoader(dataset, batch_size=3, num_workers=1, multiprocessing_context="fork")
    assert torch.equal(next(iter(loader)), torch.stack([dataset[0], dataset[1], dataset[2]]))


def test_mr_is_not_called_hounsfield(tmp_path: Path) -> None:
    dataset = _slices(make_store(tmp_path / "store", source_kind="mr"))
    assert dataset.describe()["values"] == "stored values of MR"


def test_a_store_without_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no slices: ingest"):
        _slices(make_store(tmp_path / "store", ()))
