"""Axial slices of NIfTI volumes."""

from __future__ import annotations

import gzip
import itertools
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from helpers.slice_files import write_volume
from monai_ext.data.sources import nifti
from monai_ext.data.sources.nifti import NiftiSource
from monai_ext.errors import DatasetError


def _source(*files: Path) -> NiftiSource:
    return NiftiSource(files[0].parent, sorted(files))


def _ramp() -> np.ndarray:
    """RAS order, (4, 5, 3), from -1000: hundreds count to the right, tens to the front, ones to the head."""
    right, front, head = np.meshgrid(np.arange(4), np.arange(5), np.arange(3), indexing="ij")
    return (right * 100 + front * 10 + head - 1000).astype(np.int16)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_slices_show_the_front_at_the_top_and_the_right_side_on_the_left(tmp_path: Path, suffix: str) -> None:
    source = _source(write_volume(tmp_path / f"a{suffix}", _ramp()))
    plane = source.read(2)
    assert len(source) == 3
    assert plane.shape == (5, 4)
    assert (plane[0, 0], plane[0, -1], plane[-1, 0]) == (300 + 40 + 2 - 1000, 40 + 2 - 1000, 300 + 2 - 1000)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize(
    "turned", [(False, False, False), (True, False, True), (False, True, False), (True, True, True)]
)
def test_the_storage_order_does_not_matter(
    tmp_path: Path, suffix: str, order: tuple[int, ...], turned: tuple[bool, ...]
) -> None:
    volume, affine = _ramp(), np.zeros((4, 4))
    for axis, flip in enumerate(turned):
        if flip:
            volume = np.flip(volume, axis)
    for position, axis in enumerate(order):
        affine[axis, position] = -1.0 if turned[axis] else 1.0
    affine[3, 3] = 1
    stored = write_volume(tmp_path / f"a{suffix}", np.ascontiguousarray(volume.transpose(order)), affine=affine)
    expected = _source(write_volume(tmp_path / "plain.nii", _ramp()))
    source = _source(stored)
    for index in range(3):
        np.testing.assert_array_equal(source.read(index), expected.read(index))


def test_slope_and_intercept_of_the_header_are_applied(tmp_path: Path) -> None:
    import nibabel

    image = nibabel.Nifti1Image(np.full((2, 2, 2), 24, dtype=np.uint16), np.eye(4))
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, tmp_path / "a.nii")
    assert (_source(tmp_path / "a.nii").read(0) == -1000).all()


def test_slices_of_a_volume_belong_together(tmp_path: Path) -> None:
    files = [write_volume(tmp_path / name, _ramp()) for name in ("a.nii", "b.nii")]
    groups = _source(*files).groups
    assert groups[0] == groups[2] != groups[3] == groups[5]


def test_only_a_compressed_volume_is_decoded_as_a_whole(tmp_path: Path) -> None:
    files = [write_volume(tmp_path / name, _ramp()) for name in ("a.nii", "b.nii.gz")]
    source = _source(*files)
    assert source.decoded_together(1) == range(1, 2)
    assert source.decoded_together(4) == range(3, 6)


def test_a_volume_with_a_fourth_axis_of_one_is_read(tmp_path: Path) -> None:
    files = [write_volume(tmp_path / name, _ramp()[..., None]) for name in ("a.nii", "b.nii.gz")]
    source = _source(*files)
    np.testing.assert_array_equal(source.read(1), source.read(4))


def test_a_copy_for_another_process_leaves_the_decoded_volume_behind(tmp_path: Path) -> None:
    source = _source(write_volume(tmp_path / "a.nii.gz", _ramp()))
    before = len(pickle.dumps(source))
    expected = source.read(0)
    assert len(pickle.dumps(source)) == before
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).read(0), expected)


def test_label_maps_beside_a_scan_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scan = write_volume(tmp_path / "a_ct.nii", _ramp())
    source = _source(scan, write_volume(tmp_path / "a_mask.nii", np.ones((4, 5, 3), dtype=np.uint8)))
    assert (len(source), source.describe()["label_maps_left_out"]) == (3, 1)
    assert "1 volumes are left out, such as a_mask.nii" in caplog.text


@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_label_maps_alone_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=f"{name}.*negative"):
        _source(write_volume(tmp_path / name, np.ones((4, 5, 3), dtype=np.uint8)))


def test_a_compressed_volume_without_negative_values_is_refused(tmp_path: Path) -> None:
    source = _source(write_volume(tmp_path / "mr.nii.gz", np.ones((4, 5, 3), dtype=np.int16)))
    with pytest.raises(DatasetError, match=r"mr\.nii\.gz cannot be read as CT: it is a label map.*no value below 0"):
        source.read(0)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_pixels_that_are_not_a_number_are_refused(tmp_path: Path, name: str) -> None:
    volume = _ramp().astype(np.float32)
    volume[1, 2, 1] = np.nan
    source = _source(write_volume(tmp_path / name, volume))
    source.read(0)
    with pytest.raises(
        DatasetError, match=f"{name} cannot be read as CT: .* NaN or infinite .1 pixels of axial slice 1"
    ):
        source.read(1)


@pytest.mark.parametrize("name", ["cut.nii", "cut.nii.gz"])
def test_a_volume_that_ends_early_is_named(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
    file = write_volume(tmp_path / name, noise)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DatasetError, match=f"{name} cannot be read as CT: it has fewer pixels than it declares"):
        _source(file).read(19)


def test_a_volume_of_colours_is_refused(tmp_path: Path) -> None:
    colours = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(DatasetError, match="it is a colour image"):
        _source(write_volume(tmp_path / "a.nii", colours))


def test_a_file_that_is_no_volume_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.nii").write_text("nothing")
    with pytest.raises(DatasetError, match=r"notes\.nii cannot be read as CT"):
        _source(tmp_path / "notes.nii")


def test_a_time_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"as a volume has \(its shape is 2 x 2 x 2 x 5\)"):
        _source(write_volume(tmp_path / "a.nii", np.zeros((2, 2, 2, 5), dtype=np.int16)))


def test_real_volumes_open_and_hold_hounsfield_units(shared_data: Path) -> None:
    source = _source(shared_data / "volumes" / "totalsegmentator" / "abdomen_ct_sm.nii.gz")
    plane = source.read(len(source) // 2)
    assert plane.min() < -900
    assert 20 < np.median(plane[plane > 0]) < 120


def _declare(file: Path, **fields: object) -> Path:
    """Write other values into a file's header."""
    import nibabel

    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rb") as stream:
        content = stream.read()
    header = nibabel.Nifti1Header(content[:348])
    for name, value in fields.items():
        header[name] = value
    with opened(file, "wb") as stream:
        stream.write(header.binaryblock + content[348:])
    return file


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("a.nii", {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "fewer pixels than it declares"),
        ("a.nii.gz", {"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "fewer pixels than it declares"),
        ("a.nii.gz", {"dim": [3, 900, 900, 900, 1, 1, 1, 1]}, "fewer pixels than it declares"),
        ("a.nii", {"vox_offset": 1e30}, "fewer pixels than it declares"),
        ("a.nii.gz", {"vox_offset": 1e30}, "fewer pixels than it declares"),
        ("a.nii", {"vox_offset": np.nan}, "damaged"),
        ("a.nii", {"vox_offset": -16}, "damaged"),
        ("a.nii", {"dim": [3, -2, 5, 3, 1, 1, 1, 1]}, "cannot be read as CT"),
        ("a.nii", {"dim": [3000, 4, 5, 3, 1, 1, 1, 1]}, "damaged"),
    ],
)
def test_a_header_that_asks_for_what_is_not_there_is_refused_before_memory_is_taken(
    tmp_path: Path, name: str, fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(DatasetError, match=f"(?=.*{name} cannot be read as CT).*{reason}"):
        _source(_declare(write_volume(tmp_path / name, _ramp()), **fields))


def test_more_than_anybody_should_unpack_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_volume(tmp_path / "a.nii.gz", np.full((64, 64, 64), -1000, dtype=np.int16))
    monkeypatch.setattr(nifti, "LARGEST_WHOLE_BYTES", 2**18)
    with pytest.raises(DatasetError, match=r"a size that no scanner makes \(524640 bytes; unpack it"):
        _source(file)


def test_an_extension_that_promises_gigabytes_is_not_read(tmp_path: Path) -> None:
    file = write_volume(tmp_path / "a.nii.gz", _ramp())
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[348:352] = b"\1\0\0\0"
    content[352:360] = (2**31 - 16).to_bytes(4, "little") + b"\0\0\0\0"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        stream.write(content)
        for _ in range(256):
            stream.write(bytes(2**20))
    source = _source(file)
    tracemalloc.start()
    with pytest.raises(DatasetError, match="more follows the 120 bytes of voxels"):
        source.read(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


def test_a_little_padding_after_the_voxels_is_accepted(tmp_path: Path) -> None:
    file = write_volume(tmp_path / "a.nii.gz", _ramp())
    expected = _source(file).read(1)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()) + bytes(4096)))
    np.testing.assert_array_equal(_source(file).read(1), expected)


def test_a_changed_bit_in_a_compressed_volume_is_noticed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
    file = write_volume(tmp_path / "a.nii.gz", noise)
    whole = file.read_bytes()
    for place in range(600, len(whole) - 8, 997):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(DatasetError, match=r"a\.nii\.gz cannot be read as CT"):
            _source(file).read(0)


def test_a_volume_that_shrinks_after_it_was_opened_is_named(tmp_path: Path) -> None:
    file = write_volume(tmp_path / "a.nii", _ramp())
    source = _source(file)
    os.truncate(file, 360)
    with pytest.raises(DatasetError, match=r"a\.nii cannot be read as CT: it has fewer pixels than it declares"):
        source.read(0)


def test_a_second_format_under_the_name_of_nifti_is_refused(tmp_path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.MGHImage(_ramp(), np.eye(4)), tmp_path / "a.mgh")
    (tmp_path / "a.mgh").rename(tmp_path / "a.nii")
    with pytest.raises(DatasetError, match="it has no NIfTI header"):
        _source(tmp_path / "a.nii")
