"""The demo goes from nothing to a report; here with smaller pictures and fewer cells than when it is shown."""

from pathlib import Path

import pytest

from monai_ext.cli import main

DEMO = Path(__file__).resolve().parents[2] / "studies" / "demo.json"
SMALLER = {
    "pretraining::images_seen": 64,
    "pretraining::overrides::image_size": 64,
    "pretraining::overrides::batch_size": 16,
    "overrides::image_size": 32,
    "per_class": "[1,2]",
    "protocols::probe::subsets": 1,
    "protocols::fine_tuning::overrides::epochs": 1,
    "protocols::fine_tuning::overrides::head_only_epochs": 0,
    "protocols::fine_tuning::per_class": "[1]",
}


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_a_report(tmp_path, capsys):
    changes = [part for key, value in SMALLER.items() for part in ("--set", f"{key}={value}")]
    options = ["--methods", "scratch", "SparK", "--output", str(tmp_path), "--no-tracking", *changes]
    assert main(["study", "run", str(DEMO), *options]) == 0
    assert "0 failed" in capsys.readouterr().out
    page = (tmp_path / "report" / "report.html").read_text()
    for part in ("Learning curves", "gray levels", "SparK", "fine-tuning"):
        assert part in page
