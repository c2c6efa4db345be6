"""The embedded sample."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import monai_ext.data.phantoms.sample as sample_module
from monai_ext.data import embedded_sample
from monai_ext.errors import DatasetError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiny series instead of ten."""
    monkeypatch.setattr(sample_module, "_SERIES", (("thorax", "LUNG", 2), ("head", "SOFT", 2)))
    monkeypatch.setattr(sample_module, "_SIZE", 16)


def _state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*.dcm")}


@pytest.mark.usefixtures("small")
def test_it_is_made_once_and_then_used_again(tmp_path: Path) -> None:
    folder = embedded_sample(tmp_path)
    first = _state(folder)
    assert len(list(folder.rglob("*.dcm"))) == 4
    assert embedded_sample(tmp_path) == folder
    assert _state(folder) == first
    assert [entry.name for entry in tmp_path.iterdir()] == [sample_module.SAMPLE_NAME]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "manifest"])
def test_a_damaged_sample_is_made_again(tmp_path: Path, damage: str) -> None:
    folder = embedded_sample(tmp_path)
    expected = {name: content for name, (_, content) in _state(folder).items()}
    victim = sorted(folder.rglob("*.dcm"))[0]
    if damage == "missing":
        victim.unlink()
    elif damage == "manifest":
        (folder.parent / "manifest.json").write_text("{")
    else:
        content = victim.read_bytes()
        victim.write_bytes(content[:-10] if damage == "cut" else content[:-10] + bytes(10))
    embedded_sample(tmp_path)
    assert {name: content for name, (_, content) in _state(folder).items()} == expected
    assert [entry.name for entry in tmp_path.iterdir()] == [sample_module.SAMPLE_NAME]


@pytest.mark.usefixtures("small")
def test_what_another_process_finished_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rival, rename = tmp_path / "rival", Path.rename
    embedded_sample(rival)

    def slower(self: Path, target: Path) -> Path:
        rename(rival / sample_module.SAMPLE_NAME, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", slower)
    folder = embedded_sample(tmp_path / "cache")
    monkeypatch.undo()
    assert len(list(folder.rglob("*.dcm"))) == 4


@pytest.mark.usefixtures("small")
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monai_ext.data.phantoms.dicom.write_dicom_series", interrupt)
    with pytest.raises(KeyboardInterrupt):
        embedded_sample(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot be written to .*file/cache.*MONAI_EXT_CACHE"):
        embedded_sample(tmp_path / "file" / "cache")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DatasetError, match="Permission denied"):
        embedded_sample(tmp_path)
