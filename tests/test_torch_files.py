"""Files of torch.save are whole, or they are not read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from monai_ext.errors import DamagedFileError
from monai_ext.torch_files import check_torch_file, read_torch_file, write_torch_file

CONTENT = {"state_dict": {"weight": torch.arange(40.0)}, "metadata": {"window": "full", "seed": 3}}


@pytest.fixture
def path(tmp_path) -> Path:
    write_torch_file(tmp_path / "file.pt", CONTENT)
    return tmp_path / "file.pt"


def is_content(found) -> bool:
    return torch.equal(found["state_dict"]["weight"], torch.arange(40.0)) and found["metadata"] == CONTENT["metadata"]


def test_what_was_written_is_read(path):
    assert is_content(read_torch_file(path))
    assert is_content(read_torch_file(path, mmap=True))


def test_no_flipped_bit_ever_changes_what_is_read(path):
    """Each seventh byte: most flips are refused, the others are in what nobody reads, such as dates and padding."""
    whole, generator, refused = path.read_bytes(), random.Random(0), 0
    for place in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        try:
            assert is_content(read_torch_file(path)), f"byte {place} changed the content"
        except DamagedFileError:
            refused += 1
    assert refused > len(whole) / 14


@pytest.mark.parametrize("mmap", [False, True])
def test_a_flipped_weight_is_refused_with_its_file(path, mmap):
    content = path.read_bytes()
    path.write_bytes(content.replace(torch.tensor(7.0).numpy().tobytes(), torch.tensor(8.0).numpy().tobytes()))
    with pytest.raises(DamagedFileError, match=r"file\.pt \(\d+ bytes\) is truncated or damaged: Bad CRC-32.*again"):
        read_torch_file(path, mmap=mmap)


def test_a_truncated_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedFileError, match="truncated or damaged"):
        check_torch_file(path)


def test_what_is_said_about_the_tensors_can_be_read_without_them(path):
    content = path.read_bytes()
    path.write_bytes(content.replace(torch.tensor(7.0).numpy().tobytes(), torch.tensor(8.0).numpy().tobytes()))
    assert read_torch_file(path, mmap=True, tensors=False)["metadata"] == CONTENT["metadata"]


def test_files_of_torch_before_1_6_are_read_as_they_are(tmp_path):
    torch.save(CONTENT, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert is_content(read_torch_file(tmp_path / "old.pth", mmap=True))
