"""Files that are there completely or not at all."""

from __future__ import annotations

import hashlib
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from monai_ext.errors import TrainingStoppedError
from monai_ext.files import (
    file_sha256,
    open_regular,
    parse_json,
    read_json,
    read_regular,
    remove_partial_files,
    write_atomically,
    write_result,
    write_together,
)


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_temporary(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(file) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append("sync") or fsync(descriptor))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("name") or replace(*paths))
    write_atomically(tmp_path / "file", lambda file: file.write(b"new"))
    assert done == ["sync", "name", "sync"]


def test_a_full_disk_is_told_as_such_although_torch_hides_it(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(tmp_path / "file", lambda file: torch.save({"a": torch.rand(9_000)}, file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_what_killed_writers_have_left_is_removed_and_nothing_else(tmp_path):
    for name in (".checkpoint.pt.123.partial", "checkpoint.pt", ".hidden", "notes.partial"):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".hidden", "checkpoint.pt", "notes.partial"]


def test_a_result_makes_its_folder(tmp_path):
    write_result(tmp_path / "new" / "file", lambda file: file.write(b"content"), what="the table")
    assert (tmp_path / "new" / "file").read_bytes() == b"content"


def test_a_result_that_is_not_written_is_told_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    state = SimpleNamespace(iteration=7, last_checkpoint="a.pt")
    with pytest.raises(TrainingStoppedError, match=r"^The evaluation stopped: the table was .*Free space"):
        write_result(tmp_path / "file" / "x", lambda file: None, what="the table")
    with pytest.raises(
        TrainingStoppedError, match=r"^Training stopped at iteration 7: the table .* good checkpoint is a\.pt\. Free"
    ):
        write_result(tmp_path / "file" / "x", lambda file: None, what="the table", state=state)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / "odd")
    with pytest.raises(OSError, match="no file, but a folder, pipe, socket or device"):
        open_regular(tmp_path / "odd")


def test_a_link_to_a_file_is_read_and_no_more_than_is_allowed(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link", most=5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, and at most 4 are read"):
        read_regular(tmp_path / "link", most=4)


def test_files_that_are_written_together_are_all_there_and_for_their_owner_only(tmp_path):
    files = [(tmp_path / f"{number}", bytes([number])) for number in range(40)]
    write_together(files, owner_only=True)
    assert sorted(os.listdir(tmp_path), key=int) == [str(number) for number in range(40)]
    assert all(file.read_bytes() == content and file.stat().st_mode & 0o777 == 0o600 for file, content in files)


def test_a_file_that_cannot_be_written_with_others_is_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_together([(tmp_path / "a", b"1"), (tmp_path / "missing" / "b", b"2")])


def test_the_sha_256_of_a_file_is_that_of_its_content_piece_by_piece(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one piece
    (tmp_path / "large.bin").write_bytes(content)
    assert file_sha256(tmp_path / "large.bin") == hashlib.sha256(content).hexdigest()


def test_the_sha_256_of_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no file"):
        file_sha256(tmp_path / "pipe")


def test_json_from_anywhere_is_read_to_a_size_and_a_depth(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"a": [1]}')
    assert read_json(file) == {"a": [1]}
    with pytest.raises(OSError, match="at most 4 are read"):
        read_json(file, most=4)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no file"):
        read_json(tmp_path / "pipe")
