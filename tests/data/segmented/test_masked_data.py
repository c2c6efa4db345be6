import nibabel
import numpy as np
import pytest
from PIL import Image

from helpers.masked_images import LPS, disc, volume, write_masked_pictures, write_masked_volumes
from monai_ext.data import SliceStoreWriter
from monai_ext.data.segmented.masked_data import MaskedSlice, open_masked
from monai_ext.errors import DatasetError


@pytest.fixture
def pictures(tmp_path):
    return write_masked_pictures(tmp_path / "pictures")


@pytest.fixture
def volumes(tmp_path):
    return write_masked_volumes(tmp_path / "volumes")


def test_pictures_are_items_with_their_masks(pictures):
    data = open_masked(pictures)
    assert len(data.items.ids) == len(data.slices) == 24
    assert np.array_equal(data.slices[7].numbers, disc(7)[1] // 255)
    assert np.array_equal(data.source.read(7), disc(7)[0])
    assert data.slices[7].spacing_mm is None


def test_axial_slices_of_volumes_lie_as_their_images(volumes):
    data = open_masked(volumes)
    assert data.items.ids[:4] == (*(f"images/scan_0.nii.gz#{place}" for place in range(3)), "images/scan_1.nii.gz#0")
    assert data.items.groups[:4] == ("scan_0", "scan_0", "scan_0", "scan_1")
    assert data.slices[1].spacing_mm == (1.5, 1.5, 4.0)
    for place in range(3):
        image, mask = disc(place)
        assert np.array_equal(data.slices[place].numbers, mask // 255)
        assert np.array_equal(data.source.read(place), image.astype(float) * 4 - 900)


def test_a_label_map_in_another_storage_order_is_laid_out_as_its_image(volumes):
    expected = open_masked(volumes).slices[2].numbers
    path = volumes / "masks" / "scan_0.nii.gz"
    turned = nibabel.as_closest_canonical(nibabel.load(path))
    nibabel.save(nibabel.Nifti1Image(np.asarray(turned.dataobj), turned.affine), path)
    assert np.array_equal(open_masked(volumes).slices[2].numbers, expected)


def test_published_sections_of_volumes_are_those_of_all_their_slices(volumes):
    rows = [f"images/scan_{n}.nii.gz,masks/scan_{n}.nii.gz,{'test' if n == 4 else 'train'}" for n in range(5)]
    (volumes / "masks.csv").write_text("\n".join(["file,mask,split", *rows]))
    assert open_masked(volumes).items.official == ("training",) * 12 + ("test",) * 3


def test_slices_of_a_store_take_patients_and_spacing_from_it(tmp_path):
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        pixels = np.stack([disc(number)[0] for number in range(3)]).astype(np.int16)
        row = {"patient_id": "patient0001", "source_format": "phantom", "row_spacing_mm": 0.5, "column_spacing_mm": 0.5}
        writer.add_series("series0001", pixels, [row] * 3, {})
    Image.fromarray(disc(2)[1]).save(tmp_path / "store" / "mask.png")
    (tmp_path / "store" / "masks.csv").write_text("file,mask\nseries0001/2,mask.png\n")
    data = open_masked(tmp_path / "store")
    assert data.items.groups == ("patient0001",)
    assert data.source_places([0]) == (2,)
    assert np.array_equal(data.source.read(2), disc(2)[0])
    assert data.slices[0].spacing_mm[:2] == (0.5, 0.5)


def test_groups_are_stratified_by_whether_anything_is_marked_in_them(tmp_path):
    folder = write_masked_volumes(tmp_path / "data", count=12)
    for number in range(6):
        _, mask = volume(number)
        nibabel.save(nibabel.Nifti1Image(mask * 0, LPS), folder / "masks" / f"scan_{number}.nii.gz")
    items = open_masked(folder).items
    for group, label in zip(items.groups, items.labels, strict=True):
        assert label == ("absent" if int(group.removeprefix("scan_")) < 6 else "present")


def test_rare_empty_groups_are_not_told_apart(volumes):
    _, mask = volume(0)
    nibabel.save(nibabel.Nifti1Image(mask * 0, LPS), volumes / "masks" / "scan_0.nii.gz")
    assert set(open_masked(volumes).items.labels) == {"present"}


def test_the_content_hash_follows_masks(pictures):
    before = open_masked(pictures).items.content_hash
    assert open_masked(pictures).items.content_hash == before
    Image.fromarray(disc(9)[1]).save(pictures / "masks" / "03.png")
    assert open_masked(pictures).items.content_hash != before


def _save(picture):
    return lambda folder: Image.fromarray(picture).save(folder / "masks" / "05.png")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_save(disc(5, shape=(44, 40))[1]), r"masks/05.png has 44 x 40 pixels .* image images/05.png has 40 x 44"),
        (_save(disc(5)[0]), r"mask masks/05.png cannot be used: it has the values .* mask_values"),
        (_save(np.stack([disc(n)[1] for n in range(3)], -1)), "masks/05.png cannot be used: it is in colours"),
        (lambda folder: (folder / "masks" / "05.png").write_bytes(b"x"), "masks/05.png cannot be used"),
        (lambda folder: (folder / "images" / "05.png").write_bytes(b"x"), "image images/05.png cannot be used"),
    ],
)
def test_pictures_and_masks_that_do_not_fit_are_named(pictures, spoil, sentence):
    spoil(pictures)
    with pytest.raises(DatasetError, match=sentence):
        open_masked(pictures)


def _label_map(voxels, affine=LPS):
    return lambda folder: nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / "masks" / "scan_1.nii.gz")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_label_map(volume(1, slices=4)[1]), r"scan_1.nii.gz has 40 x 44 x 4 voxels and its image 40 x 44 x 3"),
        (_label_map(volume(1)[1], LPS + np.eye(4, k=3) * 2), r"lies up to 2 mm beside its image"),
        (_label_map(volume(1)[1], np.diag([-1, -1, 4.0, 1])), r"mm beside its image"),
        (_label_map(volume(1)[0]), r"label map|mask .*scan_1.nii.gz cannot be used: it has the values"),
        (_label_map(np.stack([volume(1)[1]] * 2, -1)), r"label map masks/scan_1.nii.gz cannot be used"),
    ],
)
def test_label_maps_that_do_not_fit_are_named(volumes, spoil, sentence):
    spoil(volumes)
    with pytest.raises(DatasetError, match=sentence):
        open_masked(volumes)


def test_volumes_without_hounsfield_units_are_refused(volumes):
    image = nibabel.Nifti1Image(volume(1)[1], LPS)
    nibabel.save(image, volumes / "images" / "scan_1.nii.gz")
    with pytest.raises(DatasetError, match=r"volume images/scan_1.nii.gz cannot be used: its type holds no negative"):
        open_masked(volumes)


def test_masks_in_which_nothing_is_marked_are_refused(pictures):
    for file in (pictures / "masks").iterdir():
        Image.fromarray(disc(0)[1] * 0).save(file)
    with pytest.raises(DatasetError, match=r"Nothing is marked in any of the 24 masks of masks.csv"):
        open_masked(pictures)


def test_a_mask_is_kept_small_and_unchanged():
    numbers = disc(3, shape=(400, 440))[1] // 255
    kept = MaskedSlice.of(numbers, case="a")
    assert len(kept.packed) < numbers.size / 50
    assert np.array_equal(kept.numbers, numbers)
    assert kept.is_marked
