import shutil

import pytest

from helpers.masked_images import write_masked_pictures, write_masked_volumes
from monai_ext.data.segmented.mask_files import find_mask_files, has_masks
from monai_ext.errors import DatasetError, SplitError


@pytest.fixture
def folder(tmp_path):
    return write_masked_pictures(tmp_path / "data")


def _rewrite(folder, replace):
    table = folder / "masks.csv"
    table.write_text(table.read_text().replace(*replace))
    return folder


def test_a_table_names_images_masks_patients_and_sections(folder):
    files = find_mask_files(folder)
    assert files.kind == "pictures"
    assert files.images[:2] == ("images/00.png", "images/01.png")
    assert files.masks[:2] == ("masks/00.png", "masks/01.png")
    assert files.groups[:3] == ("p0", "p0", "p1")
    assert files.grouped_by == "patient_id"
    assert set(files.official) == {"training", "validation", "test"}
    assert find_mask_files(folder / "masks.csv") == files


def test_folders_are_paired_by_name_and_images_without_a_mask_are_left_out(folder):
    (folder / "masks.csv").unlink()
    (folder / "masks" / "03.png").unlink()
    files = find_mask_files(folder)
    assert len(files.images) == 23
    assert "images/03.png" not in files.images
    assert files.groups[0] == "00"
    assert files.grouped_by == "image"


def test_nnu_nets_names_are_known(tmp_path):
    folder = write_masked_volumes(tmp_path / "data", count=2)
    (folder / "images").rename(folder / "imagesTr")
    (folder / "masks").rename(folder / "labelsTr")
    for number in range(2):
        (folder / "imagesTr" / f"scan_{number}.nii.gz").rename(folder / "imagesTr" / f"scan_{number}_0000.nii.gz")
    files = find_mask_files(folder)
    assert files.kind == "NIfTI"
    assert files.images == ("imagesTr/scan_0_0000.nii.gz", "imagesTr/scan_1_0000.nii.gz")
    assert files.masks == ("labelsTr/scan_0.nii.gz", "labelsTr/scan_1.nii.gz")


def test_folders_inside_keep_their_images_together(folder):
    (folder / "masks.csv").unlink()
    for name in ("images", "masks"):
        (folder / name / "a").mkdir()
        for number in (0, 1):
            (folder / name / f"{number:02d}.png").rename(folder / name / "a" / f"{number:02d}.png")
    files = find_mask_files(folder)
    assert files.grouped_by == "folder"
    assert files.groups[-2:] == ("a", "a")


@pytest.mark.parametrize(
    ("replace", "error", "sentence"),
    [
        (("images/05.png", "images/x.png"), SplitError, "images/x.png"),
        (("masks/05.png", "masks/x.png"), SplitError, "masks/x.png"),
        (("masks/05.png", "../x.png"), SplitError, "x.png"),
        (("images/05.png,", ","), DatasetError, "masks without an image, such as masks/05.png"),
        (("file,mask", "file,annotation"), SplitError, "no column 'mask'"),
        ((",p2,", ",,"), SplitError, "has no patient_id"),
        ((",train", ",one"), SplitError, "puts items into 'one'"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(folder, replace, error, sentence):
    with pytest.raises(error, match=sentence):
        find_mask_files(_rewrite(folder, replace))


def test_a_mask_without_its_image_is_named(folder):
    (folder / "masks.csv").unlink()
    (folder / "images" / "04.png").unlink()
    with pytest.raises(DatasetError, match="1 masks without an image, such as 04"):
        find_mask_files(folder)


def test_a_table_in_which_nothing_has_a_mask_is_refused(tmp_path):
    (tmp_path / "masks.csv").write_text("file,mask\na.png,\n")
    with pytest.raises(DatasetError, match=r"No line of masks.csv names a mask"):
        find_mask_files(tmp_path)


def test_pictures_with_label_maps_of_volumes_are_refused(folder, tmp_path):
    volumes = write_masked_volumes(tmp_path / "volumes")
    (folder / "masks.csv").unlink()
    shutil.rmtree(folder / "masks")
    (volumes / "masks").rename(folder / "masks")
    with pytest.raises(DatasetError, match=r"images of .* holds pictures and masks holds NIfTI"):
        find_mask_files(folder)


def test_data_without_masks_is_refused_with_what_is_accepted(tmp_path):
    with pytest.raises(DatasetError, match="has no masks: give a table"):
        find_mask_files(tmp_path)


def test_columns_that_there_are_not_are_refused(folder):
    with pytest.raises(ValueError, match="columns names the table's columns for file, mask, group, split"):
        find_mask_files(folder, columns={"label": "a"})
    with pytest.raises(SplitError, match="no column 'person'"):
        find_mask_files(folder, columns={"group": "person"})


def test_what_has_masks_is_told_from_what_has_labels(folder, tmp_path):
    assert has_masks(folder)
    assert has_masks(folder / "masks.csv")
    (tmp_path / "labels.csv").write_text("file,label,mask\na.png,1,b.png\n")
    assert not has_masks(tmp_path / "labels.csv")
    (tmp_path / "empty").mkdir()
    assert not has_masks(tmp_path / "empty")
