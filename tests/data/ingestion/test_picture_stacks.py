"""Stacks of pictures, as a worker makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.file_accesses import file_accesses
from monai_ext.data.ingestion import picture_stacks
from monai_ext.data.ingestion.messages import FileRef, Finished, Message, Stack, Task
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.picture_stacks import PictureStacks
from monai_ext.data.pseudonyms import Pseudonyms


def write_gray(folder: Path, *shapes: tuple[int, int], dtype: type = np.uint8) -> None:
    for number, shape in enumerate(shapes):
        Image.fromarray(np.full(shape, number, dtype)).save(folder / f"{number:03d}.png")


def read_stacks(folder: Path, options: IngestOptions | None = None) -> tuple[list[Stack], dict[str, str]]:
    """All stacks, and the outcomes of files that are in none by name."""
    files = [FileRef(file.name.encode(), file.name) for file in sorted(folder.iterdir())]
    stacks = PictureStacks(
        Task("picture", files), source=folder, options=options or IngestOptions(), pseudonyms=Pseudonyms(b"k" * 32)
    )
    messages: Sequence[Message] = list(stacks.read())
    finished = {message.file.decode(): str(message.outcome) for message in messages if isinstance(message, Finished)}
    return [message for message in messages if isinstance(message, Stack)], finished


def test_every_picture_is_opened_once(tmp_path: Path) -> None:
    write_gray(tmp_path, (8, 8), (8, 8), (8, 12), dtype=np.uint16)
    (tmp_path / "cut.png").write_bytes((tmp_path / "000.png").read_bytes()[:40])
    with file_accesses(tmp_path) as accesses:
        stacks, finished = read_stacks(tmp_path)
    assert accesses.opened == {"000.png": 1, "001.png": 1, "002.png": 1, "cut.png": 1}
    assert ([stack.content.shape for stack in stacks], finished) == ([(2, 8, 8), (1, 8, 12)], {"cut.png": "damaged"})


def test_sixteen_bits_are_brought_to_eight(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 100], [65535, 257 * 7]], np.uint16)).save(tmp_path / "deep.png")
    ((stack,), _) = read_stacks(tmp_path)
    assert stack.content.sha256 == _stack_of(tmp_path / "levels", [[0, 100], [255, 7]]).content.sha256


def _stack_of(folder: Path, levels: list[list[int]]) -> Stack:
    folder.mkdir()
    Image.fromarray(np.array(levels, np.uint8)).save(folder / "deep.png")
    ((stack,), _) = read_stacks(folder)
    return stack


def test_pictures_of_many_shapes_never_wait_in_more_memory_than_is_allowed(tmp_path: Path) -> None:
    side = 600
    write_gray(tmp_path, *((side, side + number % 2) for number in range(6)))
    options = IngestOptions(largest_part_bytes=2**20)
    stacks, finished = read_stacks(tmp_path, options)
    assert not finished
    assert sorted(name for stack in stacks for name in stack.completes) == [b"%03d.png" % n for n in range(6)]
    assert all(np.prod(stack.content.shape) <= 2**20 for stack in stacks)


def test_what_is_too_large_or_no_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_stacks, "LARGEST_PICTURE_BYTES", 1000)
    write_gray(tmp_path, (8, 8))
    (tmp_path / "large.png").write_bytes(bytes(1001))
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    stacks, finished = read_stacks(tmp_path)
    assert (len(stacks), finished) == (1, {"large.png": "unreadable", "zero.png": "unreadable"})
