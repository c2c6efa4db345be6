"""``python -m monai_ext splits``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_ext.cli.splits import main
from monai_ext.errors import SplitError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = []
    for number in range(60):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]))
        rows.append(
            f"{number}.png,{'ab'[number % 2]},p{number // 2 * 2 + number % 2},{'train' if number < 40 else 'test'}"
        )
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,patient_id,split", *rows]))
    return tmp_path / "labels.csv"


def test_splits_are_made_shown_and_checked(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "splits.json"
    request = ["--test", "0.2", "--folds", "3", "--reduce-fractions", "0.5", "--reduce-per-class", "4", "--seed", "7"]
    assert main(["make", str(table), "--output", str(output), *request]) == 0
    printed = capsys.readouterr().out
    assert "fold 2  4_per_class          8  4 of class 'a', 4 of class 'b'" in printed
    assert json.loads(output.read_text())["made"]["seed"] == 7
    assert main(["check", str(output), str(table)]) == 0
    assert "3 fold(s) of 60 items, no patient_id in two sections" in capsys.readouterr().out
    assert main(["show", str(output)]) == 0
    assert "60 items in 60 groups (by patient_id)" in capsys.readouterr().out


def test_the_official_split_says_which_items_leak(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.csv").write_text("a,b\n0.png,50.png\n")
    request = ["--official", "--near-duplicates", str(tmp_path / "pairs.csv"), "--output", str(tmp_path / "s.json")]
    assert main(["make", str(table), *request]) == 0
    assert "1 items of test have a near duplicate in an earlier section" in capsys.readouterr().out


def test_splits_of_changed_data_are_refused(table: Path, tmp_path: Path) -> None:
    output = tmp_path / "splits.json"
    main(["make", str(table), "--validation", "0.2", "--ungrouped", "--output", str(output)])
    with pytest.raises(SplitError, match="other columns were named"):
        main(["check", str(output), str(table)])
    (tmp_path / "3.png").write_bytes(b"changed")
    with pytest.raises(SplitError, match="have changed"):
        main(["check", str(output), str(table), "--ungrouped"])
