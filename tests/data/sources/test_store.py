"""Training items from slice stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.slice_stores import make_store, rows_of
from monai_ext.data.percentiles import PercentileScale
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import DatasetError, SliceStoreError


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


def make_mr_store(folder: Path) -> Path:
    """One slice whose signal runs from half a scale below the lower percentile to half a scale above the upper one."""
    pixels = np.arange(-5000, 15001, 50, dtype=np.int16)[: 20 * 20].reshape(1, 20, 20)
    made = PercentileScale(10.0, 500.0).provenance()
    with SliceStoreWriter.open(folder, source_kind="mr") as writer:
        writer.add_series("series-mr", pixels, rows_of("series-mr", slices=1), made)
    return folder


def test_mr_is_shown_between_its_percentiles_and_not_called_hounsfield(tmp_path: Path) -> None:
    dataset = _slices(make_mr_store(tmp_path / "store"), window="percentiles", load_size=20)
    assert dataset.describe()["values"] == "MR signal between percentiles of its series"
    assert (dataset.source.modality, dataset.window) == ("MR", None)
    image, signal = dataset[0][0], torch.from_numpy(dataset.source.read(0))
    torch.testing.assert_close(image, (signal / 10_000).clamp(0, 1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("window", ["full", "brain", [40, 80]])
def test_a_window_of_hounsfield_units_on_mr_is_refused(tmp_path: Path, window: str | list[float]) -> None:
    """Pre-training has the window "full": MR must not slip into one of CT because somebody gave the wrong store."""
    with pytest.raises(ValueError, match=r"holds MR, which has none.*Set window to 'percentiles', and only if MR"):
        _slices(make_mr_store(tmp_path / "store"), window=window)


def test_the_window_of_mr_on_ct_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is that of MR.*cannot be applied to Hounsfield units: name one of lung"):
        _slices(make_store(tmp_path / "store"), window="percentiles")


def test_mr_without_a_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SliceStoreError, match=r"as an older version of this program wrote it\. Make it again"):
        _slices(make_store(tmp_path / "store", source_kind="mr"), window="percentiles")


def test_a_store_without_slices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no slices: ingest"):
        _slices(make_store(tmp_path / "store", ()))
