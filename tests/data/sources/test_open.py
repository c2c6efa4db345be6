"""What lies at a path is decided once, and looked through once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from helpers.file_accesses import file_accesses
from helpers.medmnist_files import write_medmnist
from helpers.slice_files import write_pictures, write_series, write_volume
from helpers.slice_stores import make_store
from monai_ext.data import open_sections, open_slices, slice_loader
from monai_ext.data.dicom import series
from monai_ext.data.sources.open import find_data, open_source
from monai_ext.errors import DatasetError, SliceStoreError


def make(kind: str, folder: Path) -> Path:
    if kind == "slice store":
        return make_store(folder / "store")
    if kind == "MedMNIST":
        return write_medmnist(folder / "organsmnist.npz")
    if kind == "DICOM":
        write_series(folder, slices=2)
    elif kind == "NIfTI":
        write_volume(folder / "a.nii.gz", np.full((8, 8, 2), -500, np.int16))
    else:
        write_pictures(folder, count=2)
    if kind == "labels table":
        (folder / "labels.csv").write_text("file,label\n000.png,a\n001.png,b\n")
    return folder


@pytest.mark.parametrize("kind", ["slice store", "MedMNIST", "DICOM", "NIfTI", "pictures", "labels table"])
def test_every_kind_of_data_is_found_and_opened(tmp_path: Path, kind: str) -> None:
    path = make(kind, tmp_path)
    place = find_data(path)
    assert place.kind == (kind if kind in ("slice store", "MedMNIST", "labels table") else "images")
    source = open_source(path)
    assert source.kind == (kind if kind != "labels table" else "pictures")
    assert len(source) == len(source.groups) == len(source.held_together) > 0
    plane = source.read(0)
    assert (plane.dtype, plane.ndim) == (np.float32, 2)
    assert open_source(place).fingerprint == source.fingerprint


def test_a_folder_and_its_labels_table_are_the_same_table(tmp_path: Path) -> None:
    folder = make("labels table", tmp_path)
    assert find_data(folder).table == find_data(folder / "labels.csv").table == folder / "labels.csv"


def test_pictures_can_be_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, count=3)
    source = open_source(tmp_path, pictures=["002.png", "000.png"])
    np.testing.assert_array_equal(source.read(1), open_source(tmp_path).read(0))
    assert len(source) == 2


def test_a_damaged_store_is_a_store_and_no_folder_of_images(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    manifest = store / "slice_store.json"
    manifest.write_text(manifest.read_text()[:-4])
    with pytest.raises(SliceStoreError, match="damaged"):
        open_source(store)


def test_a_path_that_does_not_exist_is_answered_with_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist\. Give a folder .* of DICOM files.* labels\.csv"):
        find_data(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 300, "File name too long"), ("loop", "symbolic links"), ("\0", "null")]
)
def test_a_path_that_cannot_be_looked_at_is_a_sentence_too(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DatasetError, match=reason):
        find_data(tmp_path / name)


@pytest.mark.parametrize("name", ["pipe", "pipe.csv", "pipe.npz", "pipe.nii.gz"])
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DatasetError, match="is a pipe, socket or device"):
        open_source(tmp_path / name)
    with pytest.raises(DatasetError, match="is a pipe, socket or device"):
        open_source("/dev/zero")


@pytest.mark.parametrize("odd", ["pipe", "I7", "labels.csv", "slice_store.json", "near_duplicates.csv"])
def test_pipes_among_dicom_files_are_never_waited_for(tmp_path: Path, odd: str) -> None:
    write_series(tmp_path, slices=4)
    os.mkfifo(tmp_path / odd)
    (tmp_path / "zero.dcm").symlink_to("/dev/zero")
    assert len(open_slices(tmp_path, section="all", image_size=16)) == 4


def test_a_folder_of_dicom_is_walked_once_and_each_header_read_once_before_the_first_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        write_series(tmp_path / str(number), slices=4, size=32, number=number)
    headers: Counter[str] = Counter()
    read_header = series.read_header
    monkeypatch.setattr(series, "read_header", lambda path: headers.update([path.name]) or read_header(path))
    with file_accesses(tmp_path) as accesses:
        slices = open_sections(tmp_path, image_size=28, validation_fraction=0.34)
        sizes = len(slices.training), len(slices.validation)
        opened_before = {count for name, count in accesses.opened.items() if name.endswith(".dcm")}
        batch = next(iter(slice_loader(slices.training, batch_size=2, num_workers=0)))
    assert (sizes, batch.shape) == ((8, 4), (2, 1, 32, 32))
    assert accesses.listed == {".": 1, "1": 1, "2": 1, "3": 1}
    assert set(headers.values()) == {3}  # three series use the same three names, each file once
    assert opened_before == {2}  # once for the header, once for its last bytes in the fingerprint
