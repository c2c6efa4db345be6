"""Fixtures of the bundle tests: a repository to run in, and one training that the others build upon."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import run
from PIL import Image

from helpers.bundle_files import REPOSITORY, TINY_TRAINING, config_files, without_tracking


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
def trained(checkout: Path, pictures: str) -> Iterator[Path]:
    """The SparK bundle of the copied repository after a training, started from the root."""
    bundle = Path("bundles/spark_pretrain")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(checkout)
        run(
            config_file=config_files(bundle, "smoke"),
            logging_file=False,
            dataset_dir=pictures,
            **TINY_TRAINING,
            **without_tracking(bundle, "smoke"),
        )
    return checkout / bundle
