"""MedMNIST files as a source of slices, and those that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.medmnist_files import write_medmnist
from monai_ext.data.sources import medmnist
from monai_ext.data.sources.medmnist import MedMNISTSource, read_medmnist_items
from monai_ext.errors import DatasetError, SplitError


def rewrite(path: Path, **arrays: np.ndarray) -> Path:
    with np.load(path) as file:
        content = dict(file) | arrays
    np.savez(path, **content)
    return path


def test_pictures_come_in_the_order_of_the_parts(tmp_path: Path) -> None:
    path = write_medmnist(tmp_path / "a.npz")
    images = {
        f"{part}_images": np.full((n, 28, 28), n, np.uint8) for part, n in (("train", 6), ("val", 2), ("test", 4))
    }
    source = MedMNISTSource(rewrite(path, **images))
    assert [source.read(index)[0, 0] for index in (0, 5, 6, 7, 8, 11)] == [6, 6, 2, 2, 4, 4]
    assert source.describe()["largest_rows_columns"] == [28, 28]
    assert (source.grouped_by, len(set(source.groups))) == ("item", 12)


def test_volumes_group_its_pictures(tmp_path: Path) -> None:
    path = write_medmnist(tmp_path / "a.npz")
    items = read_medmnist_items(path).ids
    (tmp_path / "a_volumes.csv").write_text("item,volume\n" + "".join(f"{item},{item[:3]}\n" for item in items))
    source = MedMNISTSource(path)
    assert (source.grouped_by, len(set(source.groups))) == ("volume", 3)


def test_the_same_file_has_the_same_hash_and_a_changed_one_another(tmp_path: Path) -> None:
    path = write_medmnist(tmp_path / "a.npz")
    before = read_medmnist_items(path).sha256
    assert MedMNISTSource(path).fingerprint == before
    assert read_medmnist_items(rewrite(path, test_images=np.ones((4, 28, 28), np.uint8))).sha256 != before


def test_arrays_that_declare_more_than_any_file_has_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_medmnist(tmp_path / "a.npz")
    monkeypatch.setattr(medmnist, "LARGEST_ARRAY_BYTES", 6 * 28 * 28 - 1)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(DatasetError, match=r"a\.npz declares train_images of shape \(6, 28, 28\)"):
        medmnist._read_images(path, "train")


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        (
            {"val_images": np.zeros((2, 28, 28), np.uint16)},
            DatasetError,
            r"val images of a\.npz have shape \(2, 28, 28\)",
        ),
        ({"val_images": np.zeros((3, 28, 28), np.uint8)}, DatasetError, "13 pictures and 12 labels"),
        ({"val_labels": np.array([["a"], ["b"]])}, SplitError, "cannot be read as a MedMNIST file.*val_labels are"),
        ({"val_labels": np.array([{}, {}], dtype=object)}, SplitError, "cannot be read as a MedMNIST file"),
        ({"val_labels": np.array([[np.nan], [0]])}, SplitError, "cannot be read as a MedMNIST file"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path: Path, arrays: dict, error: type[Exception], words: str) -> None:
    path = rewrite(write_medmnist(tmp_path / "a.npz"), **arrays)
    with pytest.raises(error, match=words):
        MedMNISTSource(path)
