"""Unpacking zip files that nobody vouches for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from monai_ext.data.public import archives
from monai_ext.data.public.archives import unpack
from monai_ext.errors import DatasetError


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_members_are_unpacked_without_what_macos_adds(tmp_path: Path) -> None:
    archive = make_zip(
        tmp_path / "a.zip", {"d/1.png": b"1", "__MACOSX/d/._1.png": b"", ".DS_Store": b"", "b.txt": b"2"}
    )
    files = unpack(archive, tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == ["b.txt", "d/1.png"]
    assert unpack(archive, tmp_path / "png", suffixes=(".png",)) == [tmp_path / "png" / "d" / "1.png"]


@pytest.mark.parametrize("name", ["../outside.txt", "/absolute.txt", "a/../../outside.txt", "..\\outside.txt", "C:/x"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    archive = make_zip(tmp_path / "a.zip", {"fine.txt": b"1", name: b"2"})
    with pytest.raises(DatasetError, match="leads out of its folder"):
        unpack(archive, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_damaged_member_is_noticed(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"a": b"content of the file" * 50})
    content = bytearray(archive.read_bytes())
    content[45] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a.zip cannot be unpacked.* Delete it and download it again"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_page_instead_of_an_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("<html>please log in</html>")
    with pytest.raises(DatasetError, match="a page that asks to log in"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MOST_BYTES", 10_000)
    archive = make_zip(tmp_path / "a.zip", {"zeros": bytes(20_000)})
    with pytest.raises(DatasetError, match="would unpack to"):
        unpack(archive, tmp_path / "out")
