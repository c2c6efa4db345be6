"""Volumes in bricks: any part is the same part of the volume, and damage is noticed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from monai_ext.data.volumes.brick_file import BRICK, BrickFile, write_bricks
from monai_ext.errors import DatasetError

SHAPE = (70, 33, 40)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(-1024, 3000, SHAPE).astype(np.int16)


@pytest.fixture
def bricks(volume: np.ndarray, tmp_path: Path) -> BrickFile:
    write_bricks(tmp_path / "a.bricks", volume, shape=volume.shape)
    return BrickFile(tmp_path / "a.bricks")


@pytest.mark.parametrize(
    ("start", "size"),
    [((0, 0, 0), SHAPE), ((31, 1, 7), (2, 32, 33)), ((69, 32, 39), (1, 1, 1)), ((5, 6, 7), (8, 9, 10))],
)
def test_any_part_is_that_of_the_volume(bricks: BrickFile, volume: np.ndarray, start, size) -> None:
    assert bricks.shape == SHAPE
    part = tuple(slice(first, first + count) for first, count in zip(start, size, strict=True))
    np.testing.assert_array_equal(bricks.read(start, size), volume[part])


def test_beyond_the_volume_there_is_air(bricks: BrickFile, volume: np.ndarray) -> None:
    part = bricks.read((-2, -1, 36), (4, 3, 8))
    np.testing.assert_array_equal(part[2:, 1:, :4], volume[:2, :2, 36:])
    assert (part[:2] == -1024).all()
    assert (part[:, :, 4:] == -1024).all()


def test_the_share_of_tissue_is_told_by_bricks(tmp_path: Path) -> None:
    volume = np.full((BRICK, BRICK, 2 * BRICK), -1000, np.int16)
    volume[:, :, BRICK:] = 40
    write_bricks(tmp_path / "a.bricks", volume, shape=volume.shape)
    bricks = BrickFile(tmp_path / "a.bricks")
    assert bricks.tissue((0, 0, 0), (32, 32, 32)) == 0
    assert bricks.tissue((0, 0, 16), (32, 32, 32)) == 0.5
    assert bricks.tissue((0, 0, 48), (32, 32, 32)) == 0.5, "beyond the volume there is air"


def test_smooth_volumes_take_less_room_than_their_voxels(tmp_path: Path) -> None:
    volume = np.broadcast_to(np.arange(64, dtype=np.int16), (64, 64, 64))
    write_bricks(tmp_path / "a.bricks", volume, shape=volume.shape)
    assert (tmp_path / "a.bricks").stat().st_size < volume.nbytes / 10


def test_it_travels_to_other_processes(bricks: BrickFile, volume: np.ndarray) -> None:
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(bricks)).read((1, 2, 3), (4, 5, 6)), volume[1:5, 2:7, 3:9])


@pytest.mark.parametrize("place", [100, -100, -5], ids=["a brick", "the index", "the footer"])
def test_a_flipped_bit_is_noticed(bricks: BrickFile, place: int) -> None:
    content = bytearray(bricks.path.read_bytes())
    content[place] ^= 4
    bricks.path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"is damaged: .* checksum\. Delete it and start again"):
        BrickFile(bricks.path).read((0, 0, 0), SHAPE)


@pytest.mark.parametrize("content", [b"", b"no bricks", bytes(200)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.bricks").write_bytes(content)
    with pytest.raises(DatasetError, match="it has no footer"):
        BrickFile(tmp_path / "a.bricks")


def test_an_interrupted_writing_leaves_nothing(volume: np.ndarray, tmp_path: Path) -> None:
    def slices():
        yield volume[0]
        raise DatasetError("a slice is damaged")

    with pytest.raises(DatasetError):
        write_bricks(tmp_path / "a.bricks", slices(), shape=SHAPE)
    assert not list(tmp_path.iterdir())
