"""A pool to pre-train on has the pictures of its folders, but for those that a task is tested on."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_pool(repository, monkeypatch):
    path = repository / "scripts" / "make_picture_pool.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [path.name, *map(str, arguments)])
        module.main()

    return run


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    for name in ("a/0.png", "a/1.png", "2.jpg"):
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / name)
    return folder


def write_splits(path, *tests):
    path.write_text(json.dumps({"folds": [{"training": [], "test": list(test)} for test in tests]}))
    return path


def test_what_any_fold_tests_is_left_out(make_pool, pictures, tmp_path, capsys):
    splits = write_splits(tmp_path / "splits.json", ["a/0.png"], ["2.jpg"])
    make_pool(tmp_path / "pool", "--pictures", pictures, "--without-test-of", splits)
    assert [file.name for file in (tmp_path / "pool" / "data").iterdir()] == ["a_1.png"]
    assert "1 pictures copied" in capsys.readouterr().out


def test_splits_of_other_pictures_leave_nothing_out_silently(make_pool, pictures, tmp_path, capsys):
    splits = write_splits(tmp_path / "splits.json", ["a/0.png", "elsewhere/2.jpg"])
    with pytest.raises(SystemExit):
        make_pool(tmp_path / "pool", "--pictures", pictures, "--without-test-of", splits)
    assert "1 of the 2 test items" in capsys.readouterr().err
    assert not (tmp_path / "pool").exists()
