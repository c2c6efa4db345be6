"""Which slices make up a volume, and what is said of those that do not, for every kind of source."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from helpers.dicom_files import write_series
from helpers.picture_files import save_picture, texture
from helpers.slice_stores import make_store, pixels_of, rows_of
from helpers.volume_files import ct_values, write_itk
from monai_ext.data.percentiles import PercentileScale
from monai_ext.data.sources.open import open_source
from monai_ext.data.sources.slice_stack import stack_fault
from monai_ext.data.store.reader import SliceStoreWriter
from monai_ext.errors import DatasetError

SIDES = {"row_spacing_mm": 0.8, "column_spacing_mm": 0.7}


@pytest.mark.parametrize(
    ("positions", "options", "fault"),
    [
        ([0, 5, 10], {}, None),
        ([0, 5.1, 10], {}, None),
        ([0], {}, "it has 1 slice"),
        ([0, 5, 10, 20], {}, "1 slices are missing in 1 gaps"),
        ([0, 5, 5, 10], {}, "1 slices lie where another one lies"),
        ([0, 5, 7, 20], {}, "the distance of slices varies from 2 to 13 mm"),
        ([0, float("nan"), 10], {}, "the positions of its slices are not known"),
        ([0, 5], {"spacing_mm": (None, 1.0)}, "the distances of its pixels are not known"),
        ([0, 5], {"spacing_mm": (1.0, -1.0)}, "the distances of its pixels are not known"),
        ([0, 5], {"tilt_deg": -17.5}, "its gantry was tilted by 17.5 degrees"),
    ],
)
def test_slices_are_a_volume_or_it_is_said_why_not(positions, options, fault) -> None:
    found = stack_fault(positions, **{"spacing_mm": (1.0, 1.0), **options})
    assert found is None if fault is None else fault in str(found)


def test_of_a_volume_file_slices_rows_and_columns_are_counted_from_feet_front_and_right(tmp_path: Path) -> None:
    write_itk(tmp_path / "a.nii", ct_values(), spacing=(0.7, 0.8, 2.5))
    source = open_source(tmp_path)
    (stack,) = source.stacks()
    assert (stack.name, stack.shape, stack.fault) == ("a.nii", (4, 5, 6), None)
    assert stack.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    volume = np.stack([source.read(index) for index in stack.indices])
    np.testing.assert_array_equal(volume, ct_values())  # ITK's axes are left, posterior, superior


def test_negative_and_turned_axes_give_the_same_volume(tmp_path: Path) -> None:
    values = ct_values()
    write_itk(tmp_path / "plain.nii", values)
    write_itk(tmp_path / "turned.nii", values[::-1, :, ::-1].copy(), direction=np.diag([-1.0, 1.0, -1.0]))
    source = open_source(tmp_path)
    plain, turned = (np.stack([source.read(index) for index in stack.indices]) for stack in source.stacks())
    np.testing.assert_array_equal(plain, turned)


def test_skewed_axes_are_a_fault(tmp_path: Path) -> None:
    affine = np.array([[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], float)
    nibabel.save(nibabel.Nifti1Image(ct_values(), affine), tmp_path / "a.nii")
    (stack,) = open_source(tmp_path).stacks()
    assert stack.fault == "its axes are skewed by 16.7 degrees"


def test_a_series_of_a_store_is_put_in_order_by_its_positions(tmp_path: Path) -> None:
    rows = rows_of("series-a1", **SIDES)
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        writer.add_series("series-a1", pixels_of("series-a1"), list(reversed(rows)), {})
    (stack,) = open_source(tmp_path / "store").stacks()
    assert (list(stack.indices), stack.fault) == ([2, 1, 0], None)
    assert stack.spacing_mm == pytest.approx((2.5, 0.8, 0.7))


def test_series_of_a_store_without_distances_or_with_a_gap_have_a_fault(tmp_path: Path) -> None:
    with SliceStoreWriter.open(tmp_path / "store", source_kind="ct") as writer:
        writer.add_series("series-a1", pixels_of("series-a1"), rows_of("series-a1"), {})
        rows = rows_of("series-b2", slices=4, **SIDES)
        rows[3]["position_mm"] = 10.0
        writer.add_series("series-b2", pixels_of("series-b2", slices=4), rows, {})
    faults = [stack.fault for stack in open_source(tmp_path / "store").stacks()]
    assert faults == ["the distances of its pixels are not known", "1 slices are missing in 1 gaps"]


def test_a_series_of_dicom_is_a_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", slices=3)
    source = open_source(tmp_path)
    (stack,) = source.stacks()
    assert (len(stack.indices), stack.fault) == (3, None)
    assert stack.name == "ct"


def test_slices_that_are_not_axial_are_a_fault(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", slices=3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    faults = [stack.fault for stack in open_source(tmp_path).stacks()]
    assert set(faults) == {"its slices are not axial"}


@pytest.mark.parametrize("kind", ["pictures", "a store of pictures"])
def test_pictures_are_no_volumes(tmp_path: Path, kind: str) -> None:
    if kind == "pictures":
        save_picture(tmp_path / "a.png", texture(0))
    else:
        make_store(tmp_path, source_kind="picture")
    with pytest.raises(DatasetError, match=r"do not say where they lie in a patient\. Give a folder of NIfTI"):
        open_source(tmp_path).stacks()


def test_volumes_are_not_made_of_mr(tmp_path: Path) -> None:
    made = PercentileScale(10.0, 500.0).provenance()
    with SliceStoreWriter.open(tmp_path, source_kind="mr") as writer:
        writer.add_series("series-a1", pixels_of("series-a1"), rows_of("series-a1", **SIDES), made)
    with pytest.raises(DatasetError, match="holds MR; volumes are made of CT alone"):
        open_source(tmp_path).stacks()
