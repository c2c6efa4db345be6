"""Near duplicates as a table: what they cross, and that splits can be made with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.picture_files import save_picture, texture, write_table
from helpers.slice_stores import make_store
from monai_ext.checks.near_duplicate_table import list_near_duplicates
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import make_splits, read_near_duplicates
from monai_ext.errors import DatasetError, SplitError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve pictures of twelve patients in two classes; 3 repeats 0, which is in another section and class."""
    rows = []
    for number in range(12):
        save_picture(tmp_path / f"{number:02d}.png", texture(0 if number == 3 else number))
        rows.append(f"{number:02d}.png,{'ab'[number % 2]},p{number},{'test' if number in (3, 7) else 'train'}")
    return write_table(tmp_path, rows)


def test_pairs_are_listed_with_what_they_cross(table: Path, tmp_path: Path) -> None:
    found = list_near_duplicates(table)
    (row,) = found.rows()
    assert (row["file_a"], row["file_b"], row["same_group"]) == ("00.png", "03.png", False)
    assert (row["label_a"], row["label_b"], row["section_a"], row["section_b"]) == ("a", "b", "training", "test")
    assert found.counts() == {
        "pairs": 1,
        "across groups": 1,
        "across labels": 1,
        "across sections": 1,
        "test items with a near duplicate in training or validation": 1,
    }


def test_the_table_is_what_splits_are_made_with(table: Path, tmp_path: Path) -> None:
    list_near_duplicates(table).save(tmp_path / "pairs.csv")
    source = open_split_source(table)
    pairs = read_near_duplicates(tmp_path / "pairs.csv", source)
    for seed in range(4):
        splits = make_splits(source, folds=3, seed=seed, near_duplicates=pairs)
        for fold in splits.folds:
            assert ("00.png" in fold.validation) == ("03.png" in fold.validation)


def test_agreement_with_another_list_is_counted(table: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n03.png,00.png\n05.png,06.png\n")
    assert list_near_duplicates(table).agreement(tmp_path / "other.csv") == {"found": 1, "listed": 2, "both": 1}
    (tmp_path / "other.csv").write_text("a,b\n03.png,99.png\n")
    with pytest.raises(SplitError, match=r"no items '99.png'"):
        list_near_duplicates(table).agreement(tmp_path / "other.csv")


def test_sections_are_those_of_a_splits_file_where_one_is_given(table: Path, tmp_path: Path) -> None:
    source = open_split_source(table)
    splits = make_splits(source, folds=3, seed=1)
    splits.save(tmp_path / "splits.json")
    found = list_near_duplicates(table, splits=tmp_path / "splits.json", fold=2)
    assert set(found.sections) == {"training", "validation"}


def test_unlabelled_folders_and_folders_of_classes_are_taken(table: Path, tmp_path: Path) -> None:
    table.unlink()
    found = list_near_duplicates(tmp_path)
    assert [(row["file_a"], row["label_a"]) for row in found.rows()] == [("00.png", "")]
    (tmp_path / "a").mkdir()
    (tmp_path / "03.png").rename(tmp_path / "a" / "03.png")
    found = list_near_duplicates(tmp_path)
    assert found.counts()["across labels"] == 1
    assert not found.sections


def test_pairs_of_one_patient_can_be_left_out(tmp_path: Path) -> None:
    for number in range(3):
        save_picture(tmp_path / f"{number}.png", texture(0))
    write_table(tmp_path, ["0.png,a,p0", "1.png,b,p0", "2.png,b,p1"], header="file,label,patient_id")
    assert len(list_near_duplicates(tmp_path).pairs) == 3
    assert len(list_near_duplicates(tmp_path, across_groups=True).pairs) == 2


def test_stores_are_taken_and_dicom_is_sent_to_ingestion(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", ("series-a1", "series-b2"))
    assert len(list_near_duplicates(store).items.ids) == 6
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1.dcm").write_bytes(bytes(200))
    with pytest.raises(DatasetError, match="holds DICOM; near duplicates are looked for in pictures and slice stores"):
        list_near_duplicates(tmp_path / "dicom")


def test_medmnist_files_are_taken(tmp_path: Path) -> None:
    pictures = np.stack([(texture(seed)[20:76, 20:76] * 255).astype(np.uint8) for seed in range(4)])
    arrays = {
        f"{name}_images": pictures[[first, 3 if name == "val" else 1]]
        for name, first in (("train", 0), ("val", 2), ("test", 0))
    }
    arrays |= {f"{name}_labels": np.array([[0], [1]]) for name in ("train", "val", "test")}
    np.savez(tmp_path / "organs.npz", **arrays)
    found = list_near_duplicates(tmp_path / "organs.npz")
    assert {(row["file_a"], row["file_b"]) for row in found.rows()} == {
        ("train/00000", "test/00000"),
        ("train/00001", "test/00001"),
    }
    assert found.counts()["test items with a near duplicate in training or validation"] == 2
