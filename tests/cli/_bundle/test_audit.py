import json
from pathlib import Path

import pytest

from helpers.bundle_files import PRETRAINING
from helpers.hostile_bundles import write_zip
from monai_ext.cli import main


def test_a_bundle_of_ours_passes_with_exit_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "audit", str(PRETRAINING[0])]) == 0
    assert "passed" in capsys.readouterr().out


def test_a_hostile_zip_is_refused_with_exit_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_zip(tmp_path / "bundle.zip", {"configs/train.json": b'{"x": {"_target_": "os.system"}}'})
    assert main(["bundle", "audit", str(path), "--format", "json", "--output", str(tmp_path / "report.json")]) == 3
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "refused"
    assert main(["bundle", "audit", str(path), "--known", str(PRETRAINING[0])]) == 3
    assert "Differences from the known bundle" in capsys.readouterr().out


def test_something_unknown_has_exit_status_1_and_what_cannot_be_read_2(tmp_path: Path, capsys) -> None:
    path = write_zip(tmp_path / "bundle.zip", {"configs/train.json": b'{"x": "$@trainer.of_its_own()"}'})
    assert main(["bundle", "audit", str(path)]) == 1
    assert main(["bundle", "audit", str(tmp_path / "missing.zip")]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path, capsys) -> None:
    path = write_zip(tmp_path / "bundle.zip", {"configs/train.json": b"{}"})
    assert main(["bundle", "audit", str(path), "--output", str(tmp_path / "missing" / "report.html")]) == 2
    assert "Name a file in another folder" in capsys.readouterr().err
