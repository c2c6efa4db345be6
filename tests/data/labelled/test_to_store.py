"""Labelled pictures in a slice store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.medmnist_files import write_medmnist
from monai_ext.data.labelled.to_store import store_labelled_pictures
from monai_ext.data.sources.store import StoreSource
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import official_splits
from monai_ext.data.splits.splits import read_splits
from monai_ext.data.store.privacy_report import make_privacy_report, render_privacy_report
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import DatasetError, SliceStoreError, SplitError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five pictures of three patients in two sizes; the third is in colour, the fourth has 16 bits."""
    rows = ["file,label,patient_id,split"]
    for number in range(5):
        pixels = np.full((8 + number % 2, 10), 40 * number, np.uint8)
        picture = Image.fromarray(pixels)
        if number == 2:
            picture = picture.convert("RGB")
        picture.save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},Patient {number // 2},{'train' if number < 4 else 'test'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "labels.csv"


def test_pictures_come_with_label_patient_and_section(table: Path, tmp_path: Path) -> None:
    assert sum(store_labelled_pictures(open_split_source(table), table, tmp_path / "store")) == 5
    store = SliceStore(tmp_path / "store")
    grays = {int(store.read(index)[0, 0]): row for index, row in store.index.iterrows()}
    assert sorted(grays) == [0, 40, 80, 120, 160]
    assert [grays[gray].label for gray in sorted(grays)] == ["a", "b", "a", "b", "a"]
    assert grays[0].patient_id == grays[40].patient_id != grays[80].patient_id
    assert grays[160].section == "test"
    assert "Patient" not in store.index.to_csv()


def test_the_official_split_can_be_made_of_the_store(table: Path, tmp_path: Path) -> None:
    list(store_labelled_pictures(open_split_source(table), table, tmp_path / "store"))
    splits = official_splits(open_split_source(tmp_path / "store"))
    assert splits.counts[0] == {"training": {"a": 2, "b": 2}, "validation": {}, "test": {"a": 1}}


def test_a_second_run_adds_nothing(table: Path, tmp_path: Path) -> None:
    hashes = []
    for _ in range(2):
        list(store_labelled_pictures(open_split_source(table), table, tmp_path / "store"))
        hashes.append(SliceStore(tmp_path / "store").content_hash)
    assert hashes[0] == hashes[1]


def test_a_medmnist_file_becomes_a_store(tmp_path: Path) -> None:
    path = write_medmnist(tmp_path / "organsmnist.npz")
    list(store_labelled_pictures(open_split_source(path), path, tmp_path / "store"))
    store = SliceStore(tmp_path / "store")
    assert len(store) == 12
    assert store.index.section.value_counts().to_dict() == {"training": 6, "test": 4, "validation": 2}
    assert store.read(0).shape == (28, 28)


def test_colour_in_a_medmnist_file_is_refused(tmp_path: Path) -> None:
    path = write_medmnist(tmp_path / "bloodmnist.npz")
    arrays = dict(np.load(path)) | {"train_images": np.zeros((6, 28, 28, 3), np.uint8)}
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=r"shape \(6, 28, 28, 3\).* gray pictures"):
        list(store_labelled_pictures(open_split_source(path), path, tmp_path / "store"))


def test_a_store_of_another_key_is_not_continued(table: Path, tmp_path: Path) -> None:
    list(store_labelled_pictures(open_split_source(table), table, tmp_path / "store"))
    before = SliceStore(tmp_path / "store").content_hash
    with pytest.raises(SliceStoreError, match=r"pseudonyms of another key.*--key"):
        list(store_labelled_pictures(open_split_source(table), table, tmp_path / "store", key_file=tmp_path / "key"))
    assert SliceStore(tmp_path / "store").content_hash == before


def test_a_store_that_was_made_without_a_key_is_read_with_a_warning_and_not_continued(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SliceStoreWriter.open(tmp_path / "store", source_kind="picture") as writer:
        rows = [{"patient_id": "0123456789abcdef", "label": "a"}]
        writer.add_series("fedcba9876543210", np.zeros((1, 8, 10), np.uint8), rows, {"labelled_pictures": 1})
    assert StoreSource(tmp_path / "store").groups == ("0123456789abcdef",)
    assert "made without a key, by an older version" in caplog.text
    assert "HAVE NO KEY" in render_privacy_report(make_privacy_report(SliceStore(tmp_path / "store")))
    with pytest.raises(SliceStoreError, match="delete the store, make it again"):
        list(store_labelled_pictures(open_split_source(table), table, tmp_path / "store"))


def test_splits_of_a_store_that_was_made_again_with_another_key_are_refused(table: Path, tmp_path: Path) -> None:
    list(store_labelled_pictures(open_split_source(table), table, tmp_path / "old"))
    official_splits(open_split_source(tmp_path / "old")).save(tmp_path / "splits.json")
    key = tmp_path / "other.key"
    list(store_labelled_pictures(open_split_source(table), table, tmp_path / "new", key_file=key))
    with pytest.raises(SplitError, match="made again with another key, so that all its ids are others"):
        read_splits(tmp_path / "splits.json", open_split_source(tmp_path / "new"))
