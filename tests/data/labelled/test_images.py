"""Labelled images of tables, class folders, stores and MedMNIST files, and the bad input that they refuse."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ext.data import open_labelled_images
from monai_ext.errors import DatasetError, SplitError

CLASSES = ["no", "yes"]


def _picture(number: int, shape: tuple[int, int] = (6, 8)) -> Image.Image:
    return Image.fromarray(np.full(shape, 10 * number, dtype=np.uint8))


@pytest.fixture
def table(tmp_path):
    """Twelve pictures of six patients in ``labels.csv`` with a published split."""
    lines = ["file,label,patient_id,split"]
    for number in range(12):
        _picture(number).save(tmp_path / f"{number}.png")
        section = ("train", "val", "test")[number // 4]
        lines.append(f"{number}.png,{CLASSES[number % 2]},p{number // 2},{section}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def folders(tmp_path):
    """Ten pictures of each class in a folder of its own."""
    for label in CLASSES:
        (tmp_path / label).mkdir()
        for number in range(10):
            _picture(number).save(tmp_path / label / f"{number}.png")
    return tmp_path


def _medmnist(path, *, sizes=(8, 4, 4), shape=(28, 28), dtype=np.uint8):
    arrays = {}
    for part, count in zip(("train", "val", "test"), sizes, strict=True):
        images = np.arange(count * np.prod(shape)).reshape(count, *shape) % 251
        arrays |= {f"{part}_images": images.astype(dtype), f"{part}_labels": np.arange(count)[:, None] % 2}
    np.savez(path, **arrays)
    return path


def _rewrite(table, old, new):
    text = (table / "labels.csv").read_text()
    assert old in text
    (table / "labels.csv").write_text(text.replace(old, new))
    return table


def test_an_item_is_the_whole_picture_divided_by_255_with_its_class(table):
    images = open_labelled_images(table, class_names=CLASSES, section="validation")
    item = images[1]
    assert item["image"].shape == (1, 6, 8)
    assert torch.equal(item["image"], torch.full((1, 6, 8), 50 / 255))
    assert (item["label"], images.ids[1], len(images)) == (1, "5.png", 4)


def test_labels_can_be_given_names(table):
    images = open_labelled_images(table, class_names={"yes": "haemorrhage", "no": "healthy"})
    assert images.class_names == ("haemorrhage", "healthy")
    assert images.labels == (1, 0, 1, 0)


def test_sixteen_bits_become_whole_levels_of_eight(folders):
    deep = (np.arange(48).reshape(6, 8) * 1000).astype(np.uint16)
    Image.fromarray(deep).save(folders / "yes" / "0.png")
    images = open_labelled_images(folders, class_names=CLASSES, section="all")
    levels = images[images.ids.index("yes/0.png")]["image"] * 255
    assert torch.allclose(levels[0], torch.from_numpy(np.rint(deep / 257)).float(), atol=1e-4)
    eight = images[images.ids.index("yes/3.png")]["image"] * 255
    assert torch.allclose(eight, torch.full((1, 6, 8), 30.0), atol=1e-4)


def test_without_a_split_a_fifth_is_held_out_twice_and_the_same_seed_gives_the_same(folders):
    sections = {
        name: set(open_labelled_images(folders, class_names=CLASSES, section=name, seed=3).ids)
        for name in ("training", "validation", "test")
    }
    assert [len(ids) for ids in sections.values()] == [12, 4, 4]
    assert len(set().union(*sections.values())) == 20
    again = open_labelled_images(folders, class_names=CLASSES, section="test", seed=3)
    assert set(again.ids) == sections["test"]
    others = [set(open_labelled_images(folders, class_names=CLASSES, section="test", seed=s).ids) for s in range(4, 8)]
    assert any(other != sections["test"] for other in others)


def test_near_duplicates_stay_together_in_a_split_that_is_made_here(folders):
    (folders / "near_duplicates.csv").write_text("a,b\nyes/0.png,yes/1.png\nyes/1.png,yes/2.png\n")
    for seed in range(4):
        sections = [
            set(open_labelled_images(folders, class_names=CLASSES, section=name, seed=seed).ids)
            for name in ("training", "validation", "test")
        ]
        assert any({"yes/0.png", "yes/1.png", "yes/2.png"} <= ids for ids in sections)


def test_items_that_resemble_one_of_an_earlier_section_are_told(table):
    (table / "near_duplicates.csv").write_text("a,b\n0.png,9.png\n4.png,10.png\n8.png,11.png\n")
    test = open_labelled_images(table, class_names=CLASSES, section="test")
    assert [test.ids[number] for number in test.near_duplicates] == ["9.png", "10.png"]
    assert open_labelled_images(table, class_names=CLASSES).near_duplicates == ()


def test_a_medmnist_file_has_its_published_split(tmp_path):
    path = _medmnist(tmp_path / "organsmnist.npz")
    names = {"0": "bladder", "1": "liver"}
    images = open_labelled_images(path, class_names=names, section="validation")
    assert images.ids == ("val/00000", "val/00001", "val/00002", "val/00003")
    assert images.class_names == ("bladder", "liver")
    with np.load(path) as arrays:
        expected = torch.from_numpy(arrays["val_images"][2]).float() / 255
    assert torch.equal(images[2]["image"][0], expected)
    assert images.describe()["classes"] == {"bladder": 2, "liver": 2}


def test_volumes_of_a_medmnist_file_group_its_slices(tmp_path):
    path = _medmnist(tmp_path / "organsmnist.npz")
    rows = [
        f"{part}/{number:05d},{part}{number // 4}"
        for part, n in (("train", 8), ("val", 4), ("test", 4))
        for number in range(n)
    ]
    (tmp_path / "organsmnist_volumes.csv").write_text("item,volume\n" + "\n".join(rows) + "\n")
    images = open_labelled_images(path, class_names=["0", "1"])
    assert len(set(images.groups)) == 2
    assert images.describe()["grouped_by"] == "volume"


def test_a_volume_on_two_sides_of_the_published_split_is_refused(tmp_path):
    path = _medmnist(tmp_path / "organsmnist.npz")
    rows = [f"{part}/{number:05d},one" for part, n in (("train", 8), ("val", 4), ("test", 4)) for number in range(n)]
    (tmp_path / "organsmnist_volumes.csv").write_text("item,volume\n" + "\n".join(rows) + "\n")
    with pytest.raises(SplitError, match="same volume in training and validation"):
        open_labelled_images(path, class_names=["0", "1"])


def test_a_table_of_volumes_that_leaves_slices_out_is_refused(tmp_path):
    path = _medmnist(tmp_path / "organsmnist.npz")
    (tmp_path / "organsmnist_volumes.csv").write_text("item,volume\ntrain/00000,a\n")
    with pytest.raises(SplitError, match=r"15 of 16 items .* no volume"):
        open_labelled_images(path, class_names=["0", "1"])


def test_a_class_that_training_lacks_is_refused(table):
    _rewrite(table, "1.png,yes", "1.png,no")
    _rewrite(table, "3.png,yes", "3.png,no")
    with pytest.raises(DatasetError, match="'training' has no image of the class 'yes'"):
        open_labelled_images(table, class_names=CLASSES)


def test_a_class_that_validation_lacks_is_told(table, caplog):
    _rewrite(table, "5.png,yes", "5.png,no")
    _rewrite(table, "7.png,yes", "7.png,no")
    with caplog.at_level(logging.WARNING):
        open_labelled_images(table, class_names=CLASSES, section="validation")
    assert "'validation' has no image of the class 'yes'" in caplog.text


def test_labels_that_are_not_in_the_list_are_refused_with_their_counts(table):
    _rewrite(table, "no,", "nein,")
    with pytest.raises(DatasetError, match=r"not among the classes no, yes: 'nein' \(6\)"):
        open_labelled_images(table, class_names=CLASSES)


def test_all_absent_images_are_named_at_once(table):
    for number in (2, 7, 11):
        (table / f"{number}.png").unlink()
    with pytest.raises(SplitError, match=r"names 3 files .*'2.png', '7.png', '11.png'"):
        open_labelled_images(table, class_names=CLASSES)


def test_a_patient_in_two_splits_is_refused(table):
    _rewrite(table, "p5", "p0")
    with pytest.raises(SplitError, match="same patient_id in training and test"):
        open_labelled_images(table, class_names=CLASSES)


@pytest.mark.parametrize("damage", ["truncated", "no_arrays", "colour"])
def test_a_corrupted_npz_is_refused_with_its_name(tmp_path, damage):
    path = tmp_path / "organsmnist.npz"
    if damage == "colour":
        _medmnist(path, shape=(28, 28, 3))
    else:
        _medmnist(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    if damage == "no_arrays":
        np.savez(path, something=np.zeros(3))
    with pytest.raises((SplitError, DatasetError), match=r"organsmnist\.npz"):
        open_labelled_images(path, class_names=["0", "1"])


def test_images_smaller_than_the_networks_input_are_told(table, caplog):
    with caplog.at_level(logging.WARNING):
        open_labelled_images(table, class_names=CLASSES, image_size=32)
    assert "will be enlarged: the smallest has 6 x 8 pixels, image_size is 32" in caplog.text


def test_no_data_at_all_is_answered_with_what_is_accepted():
    with pytest.raises(DatasetError, match="--dataset_dir"):
        open_labelled_images(None, class_names=CLASSES)


def test_a_reduction_needs_a_splits_file(folders):
    with pytest.raises(SplitError, match="splits make"):
        open_labelled_images(folders, class_names=CLASSES, section="0.1")
