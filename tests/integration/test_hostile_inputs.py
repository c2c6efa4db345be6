"""What a command is given may be a pipe that nobody writes to, a device that never ends, or JSON that nests for ever.

Each costs a sentence: no waiting, no traceback, and no more memory than a file of its kind may take.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.trained_bundle import write_trained_bundle
from monai_ext.cli import main
from monai_ext.sharing.trust import TRUST_VARIABLE


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def nested(path: Path) -> None:
    path.write_text("[" * 200_000)
    path.chmod(0o600)


KINDS = [pipe, endless, nested]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trained_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(params=KINDS)
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make: Callable[[Path], None] = request.param
    make(tmp_path / "given.zip")
    return tmp_path / "given.zip"


@pytest.mark.parametrize(
    "command",
    [
        ["bundle", "audit", "GIVEN"],
        ["bundle", "verify", "GIVEN"],
        ["bundle", "pack", "BUNDLE", "OUT.zip", "--results", "GIVEN"],
        ["bundle", "pack", "BUNDLE", "OUT.zip", "--shortcuts", "GIVEN"],
        ["bundle", "keys", "trust", "GIVEN", "--name", "somebody"],
        ["study", "run", "GIVEN"],
        ["export", "BUNDLE", "--model", "GIVEN"],
        ["infer", "GIVEN", "DATA", "OUT", "--accept-unsigned"],
    ],
    ids=" ".join,
)
def test_a_command_says_in_a_sentence_that_it_cannot_use_what_it_was_given(
    bundle: Path, hostile: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "GIVEN": hostile,
        "BUNDLE": bundle,
        "DATA": tmp_path,
        "OUT": tmp_path / "out",
        "OUT.zip": tmp_path / "o.zip",
    }
    assert main([str(places.get(word, word)) for word in command]) == 2
    assert capsys.readouterr().err.strip()
    assert not (tmp_path / "o.zip").exists()


@pytest.mark.parametrize("make", [pipe, nested])
def test_a_trust_file_that_is_none_is_named(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "trust.json")
    monkeypatch.setenv(TRUST_VARIABLE, str(tmp_path / "trust.json"))
    assert main(["bundle", "keys", "list"]) == 2
    assert "trust.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["models/model.json", "configs/metadata.json"])
def test_a_bundle_whose_json_nests_for_ever_is_named_and_not_packed(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_trained_bundle(tmp_path)
    (bundle / name).write_text("[" * 200_000)
    for command in (
        ["infer", str(bundle), str(tmp_path), str(tmp_path / "out")],
        ["bundle", "pack", str(bundle), "o.zip"],
    ):
        assert main(command) == 2
        assert "nested too deeply" in capsys.readouterr().err
    assert main(["bundle", "audit", str(bundle)]) == 3
    assert not Path("o.zip").exists()
