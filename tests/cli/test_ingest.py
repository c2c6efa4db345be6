"""``python -m monai_ext ingest`` passes on what it is told and explains what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.dicom_files import write_series
from monai_ext.cli import commands, main
from monai_ext.data.store.reader import SliceStore


@pytest.fixture(autouse=True)
def _own_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONAI_EXT_KEY", str(tmp_path / "pseudonym.key"))


def test_a_folder_becomes_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "source" / "a", series="a")
    write_series(tmp_path / "source" / "b", series="b", BodyPartExamined="HEAD")
    (tmp_path / "filter.json").write_text('{"body_part": ["HEAD"]}')
    call = ["ingest", str(tmp_path / "source"), str(tmp_path / "store")]
    options = ["--filter", str(tmp_path / "filter.json"), "--workers", "1", "--site", "A", "--patient-by", "folder"]
    assert main([*call, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == {"filtered": 4}
    assert main([*call, *options]) == 0
    assert "4  filtered: the filter does not want it" in capsys.readouterr().out
    assert set(SliceStore(tmp_path / "store").index["site"]) == {"A"}
    assert main([*call, "--list-skipped"]) == 0
    assert capsys.readouterr().out.startswith("a/")


def test_a_refusal_is_a_sentence_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", str(tmp_path / "missing"), str(tmp_path / "store")]) == 2
    assert "missing does not exist: name a folder" in capsys.readouterr().err


def test_commands_are_found_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"ingest", "store"} <= set(commands())
    assert main(["--help"]) == 0
    assert "turn a folder of DICOM, volumes or pictures into a slice store" in capsys.readouterr().out
    assert main([]) == 2
    assert main(["bogus"]) == 2
    assert "There is no command 'bogus'" in capsys.readouterr().err


def test_wrong_numbers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ingest", "a", "b", "--workers", "0"])
    assert "0 is not a positive number" in capsys.readouterr().err


def test_control_characters_in_listed_names_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "source" / "a")
    (tmp_path / "source" / "x\x1b[2J\n\t.txt").write_text("no image")
    call = ["ingest", str(tmp_path / "source"), str(tmp_path / "store")]
    assert main([*call, "--workers", "1"]) == 0
    capsys.readouterr()
    assert main([*call, "--list-skipped"]) == 0
    assert capsys.readouterr().out.startswith("x\\x1b[2J\\x0a\\x09.txt\tnot_dicom")
