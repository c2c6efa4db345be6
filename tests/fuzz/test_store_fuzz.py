"""A small part of the fuzzing of slice stores, with a fixed seed; ``store_fuzz.py`` runs as much as one likes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from fuzz.store_fuzz import fuzz
from helpers.store_mutations import mutations


def test_no_mutated_store_crashes_the_reader_and_all_damage_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    outcomes = fuzz(tmp_path, stores=2 * len(mutations()), seed=3)
    total = sum(outcomes.values(), Counter())
    assert set(total) <= {"whole", "named when read", "named by verify", "another content hash"}, outcomes
    assert total["named when read"] + total["named by verify"] > len(mutations())
    for kind in ("chunk of another size", "chunk header", "column of another type", "many rows", "file is a pipe"):
        assert outcomes[kind] == {"named when read": 2}
