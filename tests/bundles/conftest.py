"""Fixtures of the bundle tests: a repository to run in, and one training of each bundle that the others build upon."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.bundle_files import CLASSIFICATION, REPOSITORY, SEGMENTATION, merged_config, run_bundle, tiny_training
from helpers.labelled_pictures import write_labelled_pictures
from helpers.masked_images import write_masked_pictures
from monai_ext import running_config


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of 12 small pictures: smooth, each different."""
    folder = tmp_path_factory.mktemp("pictures")
    rows, columns = np.mgrid[0:80, 0:80] / 80
    for number in range(12):
        gray = 127 * (1 + np.sin(4 * rows + number) * np.cos(6 * columns))
        Image.fromarray(gray.astype(np.uint8)).save(folder / f"slice_{number:02d}.png")
    return str(folder)


@pytest.fixture(scope="session")
def data_of(pictures: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Folder of images for a bundle: unlabelled ones, or labelled by the bundle's classes with a published split."""
    folders: dict[tuple[str, ...], str] = {}

    def give(bundle: Path) -> str:
        if bundle.name in {other.name for other in SEGMENTATION}:
            if ("masks",) not in folders:
                folders["masks",] = str(write_masked_pictures(tmp_path_factory.mktemp("masked") / "data"))
            return folders["masks",]
        if bundle.name not in {other.name for other in CLASSIFICATION}:
            return pictures
        labels = tuple(merged_config(bundle, "train")["class_names"])
        if labels not in folders:
            folders[labels] = str(write_labelled_pictures(tmp_path_factory.mktemp("labelled") / "data", labels))
        return folders[labels]

    return give


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository: ``bundles/`` with copies that tests may write to."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(
        REPOSITORY / "bundles", root / "bundles", ignore=shutil.ignore_patterns("models", "eval", "predictions")
    )
    return root


@pytest.fixture
def from_root(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copied repository as working directory."""
    monkeypatch.chdir(checkout)
    return checkout


@pytest.fixture(scope="session")
def trained(checkout: Path, data_of: Callable[[Path], str]) -> Callable[[Path], Path]:
    """Gives a bundle of the copied repository after a tiny training, started from the root, once."""
    done: set[str] = set()

    def train(bundle: Path) -> Path:
        copy = checkout / "bundles" / bundle.name
        if bundle.name not in done:
            done.add(bundle.name)
            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.chdir(checkout)
                run_bundle(Path("bundles", bundle.name), "smoke", dataset_dir=data_of(bundle), **tiny_training(bundle))
        return copy

    return train


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs what the command line would run, without a process of its own; gives what it shows in the end."""
    monkeypatch.setattr(running_config, "started_from_command_line", lambda: True)
    monkeypatch.setattr("sys.excepthook", lambda *_: pytest.fail("errors are not shown briefly"))

    def shown(command: Callable[[], Any]) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011 (any; a SystemExit would not pass)
            command()
        capsys.readouterr()
        sys.excepthook(caught.type, caught.value, caught.tb)
        return capsys.readouterr().err

    return shown
