"""Folders and stores of volumes become patches: by patient, prepared once, with a sentence for what cannot be used."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.slice_stores import rows_of
from helpers.volume_files import write_itk
from monai_ext.data import endless_loader, open_labelled_sets, open_volume_sections, open_volumes
from monai_ext.data.percentiles import PercentileScale
from monai_ext.data.phantoms.sample import embedded_volumes
from monai_ext.data.store.reader import SliceStoreWriter
from monai_ext.errors import DatasetError


def values(seed: int = 0, shape: tuple[int, int, int] = (20, 40, 40)) -> np.ndarray:
    """Air around a block of noise."""
    volume = np.full(shape, -1000, np.int16)
    volume[:, 5:-5, 5:-5] = np.random.default_rng(seed).integers(-200, 200, (shape[0], shape[1] - 10, shape[2] - 10))
    return volume


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_itk(tmp_path / "ct" / f"{number}.nii.gz", values(number), spacing=(1.0, 1.0, 2.0))
    return tmp_path / "ct"


def open_small(folder: Path, **options):
    options = {"image_size": 16, "spacing_mm": 2.0, "prepared_dir": folder.parent / "prepared"} | options
    return open_volume_sections(folder, **options)


def test_patches_are_windowed_cubes_larger_for_training_and_of_the_networks_size_for_validation(folder: Path) -> None:
    sections = open_small(folder, window=[[40, 400], "lung"], channels=2)
    assert sections.training[0].shape == (2, 19, 19, 19)
    assert sections.validation[0].shape == (2, 16, 16, 16)
    assert sections.training[0].dtype == torch.float32
    assert 0 <= sections.training[0].min() < sections.training[0].max() <= 1
    assert not torch.equal(*sections.validation[0])


def test_a_patch_has_the_values_of_its_volume_at_the_wanted_spacing(folder: Path) -> None:
    patches = open_small(folder, spacing_mm=[2.0, 1.0, 1.0], window=[0, 4000]).everything
    assert patches[0].shape == (1, 16, 16, 16)
    expected = (torch.from_numpy(values(0)[:16, :16, :16].copy()).float() + 2000) / 4000
    torch.testing.assert_close(patches[0][0], expected)


def test_no_volume_is_in_both_sections(folder: Path) -> None:
    sections = open_small(folder)
    assert not set(sections.training.groups) & set(sections.validation.groups)
    assert len(set(sections.training.groups)) == 2


def test_volumes_of_one_patient_of_a_store_stay_together(tmp_path: Path) -> None:
    sides = {"row_spacing_mm": 1.0, "column_spacing_mm": 1.0}
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        for number, patient in enumerate(["patient-a1", "patient-a1", "patient-b2", "patient-b2"]):
            rows = [row | {"patient_id": patient} for row in rows_of("series-00", slices=20, **sides)]
            writer.add_series(f"series-{number:02d}", values(number), rows, {})
    sections = open_small(tmp_path / "store", spacing_mm=2.0)
    assert len(sections.training.volumes) == len(sections.validation.volumes) == 2
    assert set(sections.training.groups) | set(sections.validation.groups) == {"patient-a1", "patient-b2"}
    assert len(set(sections.training.groups)) == 1


def test_volumes_are_prepared_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first = open_small(folder).everything[0]
    assert "3 volumes are brought to 2 x 2 x 2 mm, once" in caplog.text
    caplog.clear()
    assert torch.equal(open_small(folder).everything[0], first)
    assert "brought to" not in caplog.text


def test_what_is_missing_or_damaged_of_the_prepared_is_made_anew(folder: Path) -> None:
    first = open_small(folder).everything[0]
    whole, cut, _ = sorted((folder.parent / "prepared").rglob("*.bricks"))
    whole.unlink()
    cut.write_bytes(cut.read_bytes()[:-10])
    sections = open_small(folder)
    assert torch.equal(sections.everything[0], first)
    assert len(sections.volumes) == 3


def test_what_is_added_or_moved_is_known_by_its_content(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first = open_small(folder).everything[0]
    (folder / "patient").mkdir()
    (folder / "0.nii.gz").rename(folder / "patient" / "scan.nii.gz")
    write_itk(folder / "3.nii.gz", values(3), spacing=(1.0, 1.0, 2.0))
    caplog.clear()
    sections = open_small(folder)
    assert "1 volumes are brought to" in caplog.text
    names = [stack.name for stack, _ in sections.volumes]
    assert names == ["1.nii.gz", "2.nii.gz", "3.nii.gz", "patient/scan.nii.gz"]
    assert torch.equal(sections.everything[3 * len(sections.everything) // 4], first)


def test_workers_prepare_the_same(folder: Path) -> None:
    alone = open_small(folder).everything
    together = open_small(folder, prepared_dir=folder.parent / "other", num_workers=2).everything
    assert all(torch.equal(patch, other) for patch, other in zip(alone, together, strict=True))


def test_patches_of_air_are_left_out(tmp_path: Path) -> None:
    for number in range(2):
        volume = values(number, (32, 42, 128))
        volume[:, :, 64:] = -1000
        write_itk(tmp_path / "ct" / f"{number}.nii", volume, spacing=(1.0, 1.0, 1.0))
    patches = open_small(tmp_path / "ct", spacing_mm=1.0, image_size=32).everything
    assert (len(patches), patches.left_out) == (2 * 2 * 2, 2 * 2 * 2)
    assert min(float((patch > 0.1).float().mean()) for patch in patches) > 0.5


def test_a_loader_gives_batches_of_patches(folder: Path) -> None:
    patches = open_small(folder).training
    assert patches[0].shape == (1, 19, 19, 19)  # workers are forked from a process that has read already
    loader = endless_loader(patches, batch_size=2, num_workers=1)
    assert torch.equal(next(iter(loader))[1], patches[loader.sampler.permutation(0)[1]])


def test_what_cannot_be_used_is_left_out_and_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_itk(folder / "flat.nii", values(shape=(3, 40, 40)), spacing=(1.0, 1.0, 2.0))
    write_itk(folder / "labels.nii", np.ones((20, 40, 40), np.uint8))
    (folder / "broken.nii.gz").write_bytes((folder / "0.nii.gz").read_bytes()[:-2000])
    sections = open_small(folder)
    assert len(sections.volumes) == 3
    assert "flat.nii is left out: at the wanted spacing it has fewer than 16 voxels along an axis" in caplog.text
    assert "broken.nii.gz is left out: it is damaged" in caplog.text
    assert "labels.nii: their type holds no negative values" in caplog.text


def test_a_label_map_of_a_signed_type_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_itk(folder / "labels.nii.gz", np.ones((20, 40, 40), np.int16), spacing=(1.0, 1.0, 2.0))
    assert len(open_small(folder).volumes) == 3
    assert "it has no value below 0" in caplog.text


def test_volumes_of_four_dimensions_are_refused(folder: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 8, 8, 2), np.int16), np.eye(4)), folder / "four.nii")
    with pytest.raises(DatasetError, match=r"four.nii cannot be read as CT: .*8 x 8 x 8 x 2"):
        open_small(folder)


def test_mr_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    with SliceStoreWriter.open(tmp_path / "store", source_kind="mr") as writer:
        made = PercentileScale(0.0, 500.0).provenance()
        writer.add_series("series-mr", np.ones((20, 40, 40), np.int16), rows_of("series-mr", slices=20), made)
    with pytest.raises(DatasetError, match=r"holds MR.*Train on its"):
        open_small(tmp_path / "store")
    assert not (tmp_path / "prepared").exists()


def test_where_nothing_can_be_used_it_is_said_why(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"None of the 3 volumes .* 3 because .* it has fewer than 64 voxels"):
        open_small(folder, image_size=64)


@pytest.mark.parametrize("spacing_mm", [0, -1.5, 50, [1.5, 1.5], [1, 1, -1], "1.5", [1.5, 1.5, float("nan")]])
def test_a_spacing_that_no_ct_has_is_refused(folder: Path, spacing_mm) -> None:
    with pytest.raises(ValueError, match="spacing_mm is a distance of voxels in mm, or three"):
        open_small(folder, spacing_mm=spacing_mm)


def test_one_patient_cannot_be_held_out(folder: Path) -> None:
    for name in ("1.nii.gz", "2.nii.gz"):
        (folder / name).unlink()
    with pytest.raises(DatasetError, match="Nothing can be held out of 1 volume"):
        _ = open_small(folder).training


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(folder: Path) -> None:
    (folder.parent / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot be prepared in .*MONAI_EXT_CACHE or prepared_dir"):
        open_small(folder, prepared_dir=folder.parent / "file")


def test_windows_that_do_not_fit_the_channels_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="2 windows do not fit 3 channels"):
        _ = open_small(folder, window=["lung", "bone"], channels=3).training


def test_labelled_slices_are_no_signal_for_volumes(folder: Path) -> None:
    assert open_labelled_sets(None, like=open_small(folder)) == []
    with pytest.raises(DatasetError, match="the encoder is trained on volumes and takes no slices"):
        open_labelled_sets(["/data/labelled"], like=open_small(folder))


def test_the_description_is_plain_and_says_what_a_voxel_is(folder: Path) -> None:
    sections = open_small(folder)
    assert sections.settings | {"data_fingerprint": ""} == {
        "data_fingerprint": "",
        "modality": "CT",
        "spatial_dims": 3,
        "spacing_mm": [2.0, 2.0, 2.0],
        "axes": "SPL",
    }
    content = sections.training.describe()
    assert (content["volumes"], content["load_size"], content["largest_volume"]) == (2, 19, [20, 20, 20])
    assert sections.epochs_limit(3) is None


@pytest.mark.slow
def test_without_a_folder_the_embedded_volumes_are_opened(tmp_path: Path) -> None:
    sample = embedded_volumes()
    assert len(list(sample.rglob("*.dcm"))) == 300
    patches = open_volumes(image_size=64, spacing_mm=2.4, prepared_dir=tmp_path)
    assert patches.describe()["volumes"] == 5
    assert patches.describe()["source"] == "embedded sample"
