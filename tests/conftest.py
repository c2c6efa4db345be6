"""Fixtures shared by all tests: quiet threads, the optional real CT data, and a private cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


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


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests away from the user's cache folder; the embedded sample is made once per test session."""
    monkeypatch.setenv("MONAI_EXT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
