"""What splits are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.medmnist_files import write_medmnist
from helpers.slice_stores import make_store, pixels_of, rows_of
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.store.reader import SliceStoreWriter
from monai_ext.errors import SplitError

ROWS = ["a.png,COVID,p1,train,north", "b.png,NonCOVID,p2,val,south", "c.png,COVID,p1,train,north"]


def write_table(folder: Path, rows: list[str] = ROWS, *, header: str = "file,label,patient_id,split,site") -> Path:
    for row in rows:
        (folder / row.split(",")[0]).write_bytes(row.encode())
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "labels.csv"


def test_a_labels_table_gives_items_labels_patients_sites_and_the_published_split(tmp_path: Path) -> None:
    source = open_split_source(write_table(tmp_path), site_column="site")
    assert source.ids == ("a.png", "b.png", "c.png")
    assert source.labels == ("COVID", "NonCOVID", "COVID")
    assert source.groups == ("p1", "p2", "p1")
    assert source.sites == ("north", "south", "north")
    assert source.official == ("training", "validation", "training")
    assert source.positions(["c.png", "a.png"]) == [2, 0]


@pytest.mark.parametrize(
    ("row", "value"), [(0, "a.png,NonCOVID,p1,train,north"), (1, "b.png,NonCOVID,p3,val,south"), (2, None)]
)
def test_the_hash_changes_with_labels_patients_and_pictures(tmp_path: Path, row: int, value: str | None) -> None:
    before = open_split_source(write_table(tmp_path)).content_hash
    assert open_split_source(tmp_path / "labels.csv").content_hash == before
    if value is None:
        (tmp_path / "c.png").write_bytes(b"another picture")
    else:
        (tmp_path / "labels.csv").write_text((tmp_path / "labels.csv").read_text().replace(ROWS[row], value))
    assert open_split_source(tmp_path / "labels.csv").content_hash != before


def test_a_slice_store_gives_slices_grouped_by_patient_or_series(tmp_path: Path) -> None:
    path = make_store(tmp_path / "store", ("series-a1",))
    with SliceStoreWriter.open(path, source_kind="ct") as writer:
        rows = [{**row, "patient_id": "patient-a1"} for row in rows_of("series-b2")]
        writer.add_series("series-b2", pixels_of("series-b2"), rows, {})
    source = open_split_source(path)
    assert source.ids[2:4] == ("series-a1/2", "series-b2/0")
    assert set(source.groups) == {"patient-a1"}
    assert set(source.labels) == {""}
    assert set(open_split_source(path, group_column="series_id").groups) == {"series-a1", "series-b2"}
    assert open_split_source(path, group_column="series_id").content_hash != source.content_hash


def test_labels_and_sites_come_from_the_stores_index(tmp_path: Path) -> None:
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        for series, label in (("series-a1", "liver"), ("series-b2", "spleen")):
            writer.add_series(series, pixels_of(series), rows_of(series, label=label, site="north"), {})
    source = open_split_source(tmp_path / "store", site_column="site")
    assert source.labels == ("liver",) * 3 + ("spleen",) * 3
    assert source.sites == ("north",) * 6


def test_a_store_that_is_labelled_in_part_is_refused(tmp_path: Path) -> None:
    with SliceStoreWriter.open(make_store(tmp_path / "store", ("series-a1",)), source_kind="ct") as writer:
        writer.add_series("series-b2", pixels_of("series-b2"), rows_of("series-b2", label="liver"), {})
    with pytest.raises(SplitError, match="label all, or none"):
        open_split_source(tmp_path / "store")
    with pytest.raises(SplitError, match="have no site"):
        open_split_source(tmp_path / "store", group_column="site")
    with pytest.raises(SplitError, match="no column 'diagnosis'; its columns are series_id"):
        open_split_source(tmp_path / "store", label_column="diagnosis")


def test_a_medmnist_file_gives_its_published_split(tmp_path: Path) -> None:
    source = open_split_source(write_medmnist(tmp_path / "organsmnist.npz"))
    assert source.ids[:2] == ("train/00000", "train/00001")
    assert source.labels[:3] == ("0", "1", "0")
    assert source.official == ("training",) * 6 + ("validation",) * 2 + ("test",) * 4


def test_a_medmnist_file_with_several_labels_an_item_or_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="14 labels an item"):
        open_split_source(write_medmnist(tmp_path / "chestmnist.npz", labels=14))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "chestmnist.npz").read_bytes()[:300])
    with pytest.raises(SplitError, match="Download it again"):
        open_split_source(tmp_path / "cut.npz")


def test_a_table_without_patients_is_refused_until_it_is_said_that_items_are_patients(tmp_path: Path) -> None:
    path = write_table(tmp_path, ["a.png,1", "b.png,0"], header="file,label")
    with pytest.raises(SplitError, match=r"no column 'patient_id'.*--group-column.*--ungrouped"):
        open_split_source(path)
    assert open_split_source(path, group_column=None).groups == ("a.png", "b.png")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([*ROWS, ROWS[0]], {}, "names 'a.png' more than once"),
        ([*ROWS, "d.png,,p4,test,north"], {}, "Line 5 of labels.csv has no label"),
        ([*ROWS, "d.png,COVID,,test,north"], {}, "Line 5 of labels.csv has no patient_id"),
        ([*ROWS, "d.png,COVID,p4,holdout,north"], {}, "into 'holdout'; sections are train, val"),
        (ROWS, {"label_column": "class"}, "no column 'class'; its columns are file, label"),
        ([], {}, "it has no items"),
    ],
)
def test_tables_with_faults_are_refused(tmp_path: Path, rows: list[str], options: dict[str, str], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        open_split_source(write_table(tmp_path, rows), **options)


def test_missing_pictures_are_counted_and_named(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    (tmp_path / "b.png").unlink()
    with pytest.raises(SplitError, match=r"names 1 files that are not below .*: 'b.png'"):
        open_split_source(path)


def test_two_spellings_of_a_picture_are_one_item(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    plain = open_split_source(path)
    path.write_text(path.read_text().replace("\nb.png", "\n./b.png"))
    assert open_split_source(path) == plain
    path.write_text(path.read_text() + "x/../b.png,COVID,p9,train,north\n")
    with pytest.raises(SplitError, match=r"names 'b\.png' more than once"):
        open_split_source(path)


def test_a_picture_outside_the_tables_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").touch()
    path = write_table(tmp_path / "data")
    path.write_text(path.read_text() + "../secret.png,COVID,p9,train,north\n")
    with pytest.raises(SplitError, match=r"names 1 files that lie outside its folder: '\.\./secret\.png'"):
        open_split_source(path)


def test_a_folder_with_a_labels_table_is_the_table(tmp_path: Path) -> None:
    path = write_table(tmp_path)
    assert open_split_source(tmp_path) == open_split_source(path)


@pytest.mark.parametrize("name", ["missing.csv", "notes.txt", "."])
def test_other_things_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SplitError, match=r"a labels table \(.csv\) beside its pictures, a slice store, or a MedMNIST"):
        open_split_source(tmp_path / name)


def test_an_empty_file_is_refused_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    with pytest.raises(SplitError, match="cannot be read"):
        open_split_source(tmp_path / "labels.csv")
