"""A small part of the fuzzing of tables and splits, with a fixed seed; ``table_fuzz.py`` runs as much as one likes."""

from __future__ import annotations

from pathlib import Path

from fuzz.table_fuzz import fuzz


def test_every_mutated_table_is_used_or_refused_with_a_sentence(tmp_path: Path) -> None:
    result = fuzz(tmp_path, files=60, seed=1)
    assert (result.crashes, result.hangs, result.secrets_read) == ([], [], 0)
    total = sum(counts.total() for counts in result.outcomes.values())
    assert (total, len(result.outcomes)) == (60, 25)
    assert any(counts["SplitError"] for counts in result.outcomes.values())
