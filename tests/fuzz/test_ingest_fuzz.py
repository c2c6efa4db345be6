"""A small part of the fuzzing, with a fixed seed; ``ingest_fuzz.py`` runs as much as one likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fuzz.ingest_fuzz import fuzz
from monai_ext.data.ingestion import ledger

FILES = 68


def test_every_mutated_file_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(ledger, "SYNCHRONOUS", "OFF")
    result = fuzz(tmp_path, files=FILES, seed=1)
    assert result.report.files == FILES + 11
    assert sum(counts.total() for counts in result.outcomes.values()) == FILES + 11
    assert result.outcomes["none"]["stored"] > 0
    assert not {"timeout", "stored"} & set(result.outcomes["deflate bomb"])
    assert result.looked_at_again == result.report.skipped["unreadable"] + result.report.skipped["missing_codec"]
