"""Ingestion tests use a key of their own, never the user's, and do not wait for the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_ext.data.ingestion import ledger


@pytest.fixture(autouse=True)
def key_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the key is; one for the whole test session, made by the first ingestion."""
    file = tmp_path_factory.getbasetemp() / "key" / "pseudonym.key"
    monkeypatch.setenv("MONAI_EXT_KEY", str(file))
    return file


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power does not fail during tests; killed processes are tested, which need no syncing."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(ledger, "SYNCHRONOUS", "OFF")
