"""Files that are there completely or not at all."""

from __future__ import annotations

import os
import resource

import pytest
import torch

from monai_ext.files import remove_partial_files, write_atomically


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
