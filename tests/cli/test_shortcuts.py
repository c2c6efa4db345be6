"""``python -m monai_ext shortcuts``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from helpers.leaking_pictures import make_data
from monai_ext.cli.shortcuts import main


def test_a_table_is_printed_and_files_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = make_data(tmp_path, leak="brightness", duplicates=True)
    output = tmp_path / "results" / "shortcuts"
    arguments = [str(table), "official", "--output", str(output), "--resamples", "20", "--positive-class", "b"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "Fitted on training and validation, judged on test: 12 images of 6 groups" in printed
    assert "gray levels                 1.000 (1.000 to 1.000)" in printed
    assert "Without images that resemble one that was fitted on, 11 images" in printed
    content = json.loads(output.with_suffix(".json").read_text())
    assert [row["predictor"] for row in content][:2] == ["majority class", "image size"]
    assert content[0]["without_near_duplicates"]["images"] == 11
    with output.with_suffix(".csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    (auc,) = [
        row
        for row in rows
        if (row["predictor"], row["metric"], row["images"]) == ("gray levels", "auc", "without near duplicates")
    ]
    assert float(auc["value"]) == 1
