"""MetaImage and NRRD hold what NIfTI of the same volume holds, in the same places."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.volume_files import FORMATS, change_header, ct_values, write_itk
from monai_ext.data import open_slices
from monai_ext.data.sources.itk_volumes import ItkVolume, ItkVolumeSource
from monai_ext.data.sources.nifti import NiftiSource, NiftiVolume
from monai_ext.errors import DatasetError

UPRIGHT = np.eye(3)
SIDEWAYS = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
"""Slices are stored from the left to the right, rows from the head to the feet."""

TILTED = np.array([[1.0, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])


def _source(*files: Path) -> ItkVolumeSource:
    return ItkVolumeSource(files[0].parent, sorted(files))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("direction", [UPRIGHT, SIDEWAYS, TILTED], ids=["upright", "sideways", "tilted"])
def test_values_and_places_are_those_of_nifti(tmp_path: Path, name: str, direction: np.ndarray) -> None:
    file, compressed = FORMATS[name]
    write_itk(tmp_path / file, ct_values(), direction=direction, compressed=compressed)
    write_itk(tmp_path / "nifti" / "a.nii.gz", ct_values(), direction=direction)
    found, expected = _source(tmp_path / file), NiftiSource(tmp_path, [tmp_path / "nifti" / "a.nii.gz"])
    assert len(found) == len(expected)
    for index in range(len(expected)):
        np.testing.assert_array_equal(found.read(index), expected.read(index))
    grid = NiftiVolume.open(tmp_path / "nifti" / "a.nii.gz").grid
    itk_grid = ItkVolume.open(tmp_path / file).grid
    np.testing.assert_allclose(itk_grid.affine, grid.affine, atol=1e-4)  # NIfTI keeps its affine in float32
    assert itk_grid.spacing() == pytest.approx(grid.spacing(), abs=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_reading_here_and_apart_is_the_same(tmp_path: Path, name: str) -> None:
    file, compressed = FORMATS[name]
    path = write_itk(tmp_path / file, ct_values(), compressed=compressed)
    apart, here = ItkVolume.open(path), ItkVolume.open(path, is_isolated=False)
    np.testing.assert_array_equal(apart.values(), here.values())
    np.testing.assert_array_equal(apart.slab(2), here.slab(2))


def test_only_a_metaimage_that_is_not_compressed_is_read_slice_by_slice(tmp_path: Path) -> None:
    whole = {
        name: ItkVolume.open(write_itk(tmp_path / name / file, ct_values(), compressed=compressed)).is_whole
        for name, (file, compressed) in FORMATS.items()
    }
    assert [name for name, is_whole in whole.items() if not is_whole] == ["MetaImage in two files", "MetaImage"]


def test_a_fourth_axis_of_one_is_left_out(tmp_path: Path) -> None:
    grid: dict[str, Any] = {"spacing": (1.0,) * 4, "origin": (0.0,) * 4}
    source = _source(*(write_itk(tmp_path / name, ct_values()[None], **grid) for name in ("a.mha", "b.nrrd")))
    np.testing.assert_array_equal(source.read(1), source.read(5))


def test_nrrd_in_other_coordinates_is_turned(tmp_path: Path) -> None:
    plain = write_itk(tmp_path / "plain" / "a.nrrd", ct_values())
    turned = write_itk(tmp_path / "a.nrrd", ct_values()[:, ::-1, ::-1], origin=(10.0, 20.0, 30.0))
    change_header(turned, "left-posterior-superior", "right-anterior-superior")
    np.testing.assert_array_equal(_source(turned).read(1), _source(plain).read(1)[:, :])


def test_the_file_says_what_its_values_are(tmp_path: Path) -> None:
    plain = write_itk(tmp_path / "a.mha", ct_values())
    assert not ItkVolume.open(plain).says_hounsfield
    assert ItkVolume.open(change_header(plain, "NDims", "Modality = MET_MOD_CT\nNDims")).says_hounsfield
    units = change_header(write_itk(tmp_path / "b.nrrd", ct_values()), "encoding:", 'sample units: "HU"\nencoding:')
    assert ItkVolume.open(units).says_hounsfield


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("a.mha", ("NDims", "Modality = MET_MOD_MR\nNDims"), "its modality was not asked for"),
        ("a.nrrd", ("encoding:", "sample units: counts\nencoding:"), "its values are of another unit than Hounsfield"),
        ("a.mhd", ("a.raw", "../a.raw"), "its header names a file outside of its folder"),
        ("a.mhd", ("a.raw", "/etc/passwd"), "its header names a file outside of its folder"),
        ("a.nhdr", ("a.raw", "b.raw"), "the file with its values is missing"),
        ("a.mhd", ("a.raw", "LIST"), "write them into one"),
        ("a.mhd", ("a.raw", "a\0.raw"), "the file with its values is missing"),
        ("a.mhd", ("DimSize = 6", "DimSize = \xb2"), "ITK cannot read it|not three dimensions"),
        ("a.mhd", ("DimSize = 6 5 4", "DimSize = 6 5 5"), "300 bytes are declared, 240 are there"),
        ("a.mhd", ("DimSize = 6 5 4", "DimSize = 600000 1 0"), "ITK cannot read it|not three dimensions"),
        ("a.mha", ("ObjectType = Image", "nothing"), "no MetaImage"),
        ("a.nrrd", ("NRRD", "NONE"), "it is no NRRD"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, file: str, change: tuple[str, str], sentence: str) -> None:
    path = change_header(write_itk(tmp_path / file, ct_values()), *change)
    with pytest.raises(DatasetError, match=rf"{file} cannot be read as CT: .*({sentence})"):
        _source(path).read(0)


def test_a_pipe_in_place_of_the_values_is_not_waited_for(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "a.mhd", ct_values())
    (tmp_path / "a.raw").unlink()
    os.mkfifo(tmp_path / "a.raw")
    with pytest.raises(DatasetError, match="the file with its values is no regular file"):
        _source(path)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.zeros((2, 3), np.int16), "three dimensions"),
        (np.zeros((5, 2, 2, 2), np.int16), "it has not three dimensions"),
        (np.ones((2, 2, 2), np.uint8), "holds no negative values"),
        (np.full((2, 2, 2), np.nan, np.float32), "8 pixels|4 pixels of axial slice 0"),
        (np.full((2, 2, 2), np.inf, np.float32), "4 pixels of axial slice 0"),
    ],
    ids=["plane", "time series", "labels", "NaN", "infinite"],
)
def test_what_is_no_ct_volume_is_refused(tmp_path: Path, values: np.ndarray, sentence: str) -> None:
    grid: dict[str, Any] = {"spacing": (1.0,) * values.ndim, "origin": (0.0,) * values.ndim}
    path = write_itk(tmp_path / "a.mha", values, **grid)
    with pytest.raises(DatasetError, match=sentence):
        _source(path).read(0)


@pytest.mark.parametrize(
    "cut", [lambda content: content[:-20], lambda content: content[: len(content) // 3]], ids=["end", "middle"]
)
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_ends_early_is_named(tmp_path: Path, name: str, cut: Callable[[bytes], bytes]) -> None:
    file, compressed = FORMATS[name]
    path = write_itk(tmp_path / file, ct_values(), compressed=compressed)
    for part in (tmp_path / "a.raw", tmp_path / "a.zraw", path):
        if part.is_file():
            part.write_bytes(cut(part.read_bytes()))
            break
    with pytest.raises(DatasetError, match=rf"{file} cannot be read as CT"):
        _source(path).read(3)


def test_a_folder_of_them_opens_and_their_values_are_no_files_of_their_own(tmp_path: Path) -> None:
    for number in range(3):
        write_itk(tmp_path / f"{number}.mhd", ct_values())
    slices = open_slices(tmp_path, section="all", image_size=8)
    assert (len(slices), slices.describe()["kind"], len(set(slices.groups))) == (12, "MetaImage or NRRD", 3)


def test_the_fingerprint_changes_with_the_values(tmp_path: Path) -> None:
    path = write_itk(tmp_path / "a.mhd", ct_values())
    before = _source(path).fingerprint
    write_itk(path, ct_values() + 1)
    assert _source(path).fingerprint != before


def test_it_can_be_handed_to_another_process(tmp_path: Path) -> None:
    source = _source(write_itk(tmp_path / "a.nrrd", ct_values()))
    expected = source.read(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(0), expected)


def test_a_real_volume_is_the_same_in_every_format(tmp_path: Path, shared_data: Path) -> None:
    import SimpleITK

    original = shared_data / "volumes" / "totalsegmentator" / "abdomen_ct_sm.nii.gz"
    expected = NiftiSource(original.parent, [original])
    for name in ("a.mhd", "a.mha", "a.nrrd"):
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(original)), str(tmp_path / name))
        source = _source(tmp_path / name)
        assert len(source) == len(expected)
        for index in (0, len(expected) // 2, len(expected) - 1):
            np.testing.assert_allclose(source.read(index), expected.read(index), atol=1e-3)
