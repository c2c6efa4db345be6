"""``python -m monai_ext views``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.bundle_files import PRETRAINING
from monai_ext.cli import main


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        gray = np.random.default_rng(number).integers(0, 256, (40, 40), dtype=np.uint8)
        Image.fromarray(gray).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with what the command reads, and a trainer that cannot be made."""
    config = {
        "dataset_dir": None,
        "train": {
            "dataset": {
                "_target_": "monai_ext.data.open_slices",
                "dataset_dir": "@dataset_dir",
                "section": "all",
                "image_size": 32,
            },
            "views": {
                "_target_": "monai_ext.transforms.MultiView",
                "augmentations": {"global": {"_target_": "monai_ext.transforms.RandomView", "size": 32}},
                "counts": {"global": 2},
            },
            "trainer": {"_target_": "nothing.there"},
        },
    }
    folder = tmp_path / "a_pretrain"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "train.json").write_text(json.dumps(config))
    return folder


def test_the_views_of_a_bundle_become_a_picture(
    bundle: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "pages" / "page.png"
    arguments = ["--dataset_dir", str(pictures), "--output", str(page), "--images", "3"]
    assert main(["views", str(bundle), *arguments]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    with Image.open(page) as picture:
        assert picture.size == (3 * 182 + 6, 30 + 3 * 182 + 6)


def test_the_picture_is_called_by_the_bundle_unless_told_otherwise(
    bundle: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["views", "a_pretrain", "--dataset_dir", str(pictures)]) == 0
    assert (tmp_path / "a_pretrain_views.png").is_file()


def test_what_is_no_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", str(tmp_path / "missing")]) == 2
    assert "there is no configs/train.json in" in capsys.readouterr().err


def test_a_bundle_without_views_is_refused(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / "configs" / "train.json").write_text(json.dumps({"train": {"dataset": []}}))
    assert main(["views", str(bundle)]) == 2
    assert "its train.json has no 'train::views'" in capsys.readouterr().err


@pytest.mark.parametrize("bundle", PRETRAINING, ids=lambda bundle: bundle.name)
def test_every_pretraining_bundle_names_its_views(bundle: Path) -> None:
    from monai_ext.cli.views import _read

    dataset, views = _read(bundle, dataset_dir=None)
    made = views(dataset[0][None].repeat(2, 1, 1, 1))
    assert len(made) >= 2
