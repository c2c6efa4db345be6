"""A DICOM file that crashes its decoder costs itself: in training, embedding and ingestion, with all workers alive."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.compressed_streams import DAMAGED, STREAMS, write_compressed
from monai_ext.data import open_slices, slice_loader
from monai_ext.data.dicom import find_series, read_hounsfield
from monai_ext.data.ingestion.ingest import ingest, list_skipped
from monai_ext.embedding import encode_slices, open_slices_to_embed
from monai_ext.errors import DicomSeriesError

LOSSLESS_JPEG = "1.2.840.10008.1.2.4.70"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six slices of a series; the third and the fifth end a program that decodes them itself."""
    for number in range(6):
        stream = {2: DAMAGED["segmentation fault"], 4: DAMAGED["uncaught exception in gdcm"]}.get(number)
        stream = stream or STREAMS[LOSSLESS_JPEG]
        write_compressed(tmp_path / "ct" / f"{number}.dcm", LOSSLESS_JPEG, stream, position_mm=float(number))
    return tmp_path / "ct"


def test_reading_the_file_says_what_happened(folder: Path) -> None:
    (series,) = find_series(folder).series
    with pytest.raises(DicomSeriesError, match=r"2\.dcm.*reading it made the process crash \(JPEG Lossless"):
        read_hounsfield(series.slices[2])
    assert read_hounsfield(series.slices[3]).max() == 4095 - 1024


@pytest.mark.parametrize("workers", [0, 2])
def test_training_goes_on_without_it(folder: Path, workers: int, caplog: pytest.LogCaptureFixture) -> None:
    slices = open_slices(folder, image_size=14, validation_fraction=0)
    with caplog.at_level(logging.WARNING):
        batches = [batch for _ in range(2) for batch in slice_loader(slices, batch_size=3, num_workers=workers)]
    assert sum(map(len, batches)) == 12
    assert not torch.cat(batches).isnan().any()
    if not workers:
        assert caplog.text.count("A slice is left out") == 2


def test_embedding_leaves_it_out(folder: Path) -> None:
    slices = open_slices_to_embed(folder, image_size=16, window="full", channels=1)
    device = torch.device("cpu")
    (features,) = encode_slices(nn.Flatten(), slices, device=device, batch_size=6, num_workers=2)
    assert features.isnan().all(dim=1).tolist() == [False, False, True, False, True, False]


def test_ingestion_stores_the_others(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_EXT_KEY", str(tmp_path / "key"))
    assert ingest(folder, tmp_path / "store", workers=1).slices == 4
    listed = {name: reason.value for name, reason, _ in list_skipped(folder, tmp_path / "store")}
    assert listed["2.dcm"] == "crash"
    assert listed["4.dcm"] in ("crash", "undecodable")
