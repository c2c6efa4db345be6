"""A disk that is really full: what is written is there as a whole, or not at all, and the message says why."""

from pathlib import Path

import numpy as np
import pytest

from helpers.dicom_files import ct_slice, write
from helpers.small_disk import small_disk
from helpers.trained_segmentation import write_segmentation_bundle
from monai_ext.cli import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segmentation_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(40):
        values = (300 + 900 * np.random.default_rng(number).random((64, 64))).astype(np.uint16)
        write(ct_slice(2.5 * number, values=values, FrameOfReferenceUID="1.2.3.4"), folder / f"{number}.dcm")
    return folder


def test_packing_to_a_full_disk_leaves_nothing(bundle: Path, tmp_path: Path, capsys) -> None:
    with small_disk(tmp_path / "disk", kibibytes=64) as disk:
        assert main(["bundle", "pack", str(bundle), str(disk / "a.zip")]) == 2
        assert "No space left on device" in capsys.readouterr().err
        assert list(disk.iterdir()) == []


def test_a_package_on_a_full_disk_is_as_it_was_after_signing_failed(bundle: Path, tmp_path: Path, capsys) -> None:
    assert main(["bundle", "keys", "make", str(tmp_path / "mine")]) == 0
    assert main(["bundle", "pack", str(bundle), str(tmp_path / "a.zip")]) == 0
    content = (tmp_path / "a.zip").read_bytes()
    with small_disk(tmp_path / "disk", kibibytes=len(content) // 1024 + 40) as disk:
        (disk / "a.zip").write_bytes(content)
        assert main(["bundle", "sign", str(disk / "a.zip"), "--key", str(tmp_path / "mine.key")]) == 2
        assert "No space left on device" in capsys.readouterr().err
        assert (disk / "a.zip").read_bytes() == content
        assert [path.name for path in disk.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("kibibytes", [16, 120], ids=["no room for tables", "no room for DICOM"])
def test_answers_that_do_not_fit_leave_nothing(
    bundle: Path, source: Path, tmp_path: Path, capsys, kibibytes: int
) -> None:
    pytest.importorskip("highdicom")
    with small_disk(tmp_path / "disk", kibibytes=kibibytes) as disk:
        assert main(["infer", str(bundle), str(source), str(disk / "answers")]) == 2
        assert "No space left on device. Nothing was left there." in capsys.readouterr().err
        assert list(disk.iterdir()) == []
