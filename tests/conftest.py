"""Fixtures shared by all tests: quiet threads, the optional real CT data, and a private cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from helpers.narrow_convolutions import refuse_narrow_channels_last

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end no process waits for another that has only begun with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _no_narrow_convolution_channels_last() -> Iterator[None]:
    """No network of the tests is trained in a way that corrupts memory on other processors."""
    handle = register_module_forward_pre_hook(refuse_narrow_channels_last)
    yield
    handle.remove()


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout that is tested."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real CT data beside the checkout; tests that need it are skipped where it is missing."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real CT data is not there: {folder} (it is not part of the project)")
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of a test session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True)
def _private_cache(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the user's cache folder; the embedded sample is made once per test session."""
    monkeypatch.setenv("MONAI_EXT_CACHE", str(shared_folder / "cache"))


@pytest.fixture(autouse=True, scope="session")
def _private_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests away from the user's key of pseudonyms; theirs is made when it is first needed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MONAI_EXT_KEY", str(tmp_path_factory.getbasetemp() / "key" / "pseudonym.key"))
        yield


@pytest.fixture(scope="session")
def empty_database(shared_folder: Path) -> Path:
    """Making the tables takes seconds, copying them does not; whichever process needs them first makes them for all."""
    from mlflow.tracking import MlflowClient

    file = shared_folder / "empty_database" / "mlflow.db"
    file.parent.mkdir(exist_ok=True)
    with open(file.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            making = file.with_name("making.db")
            MlflowClient(tracking_uri=f"sqlite:///{making}").search_experiments(max_results=1)
            making.rename(file)
    return file


@pytest.fixture
def repository_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A user's repository with an empty database; the working directory is a folder inside of it."""
    root = tmp_path / "user's repository"
    (root / ".git").mkdir(parents=True)
    (root / "experiments").mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    monkeypatch.chdir(root / "experiments")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def client(repository_folder: Path) -> Any:
    """Reads what is in the repository's database."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{repository_folder / 'mlflow.db'}")
