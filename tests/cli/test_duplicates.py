"""``python -m monai_ext duplicates``."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from helpers.picture_files import save_picture, texture, write_table
from monai_ext.cli.duplicates import main
from monai_ext.cli.splits import main as splits


def test_pairs_are_written_compared_and_grouped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        save_picture(tmp_path / f"{number}.png", texture(number % 6))
    write_table(tmp_path, [f"{number}.png,{'ab'[number % 2]}" for number in range(8)], header="file,label")
    (tmp_path / "known.csv").write_text("a,b\n0.png,6.png\n2.png,3.png\n")
    output = tmp_path / "pairs.csv"
    assert main([str(tmp_path), "--output", str(output), "--compare", str(tmp_path / "known.csv")]) == 0
    printed = capsys.readouterr().out
    assert (
        "8 items of labels.csv were compared.\n     2  pairs\n     2  across groups\n     0  across labels" in printed
    )
    assert "lists 2 pairs; 1 of them were found (50%), which is 50% of what was found" in printed
    with output.open(newline="") as stream:
        assert {(row["file_a"], row["file_b"]) for row in csv.DictReader(stream)} == {
            ("0.png", "6.png"),
            ("1.png", "7.png"),
        }
    made = ["make", str(tmp_path / "labels.csv"), "--ungrouped", "--folds", "3", "--near-duplicates", str(output)]
    assert splits([*made, "--output", str(tmp_path / "splits.json")]) == 0
    assert "near_duplicate_pairs: 2" in capsys.readouterr().out
