from pathlib import Path

import pytest

from helpers.packages import write_small_package
from monai_ext.cli import main

pytest.importorskip("model_signing")


def test_keys_are_made_trusted_and_used_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = ["--trust-file", str(tmp_path / "trust.json")]
    package = str(write_small_package(tmp_path / "small.zip"))
    assert main(["bundle", "keys", "make", str(tmp_path / "ulm")]) == 0
    fingerprint = capsys.readouterr().out.splitlines()[-1]
    assert main(["bundle", "keys", "show", str(tmp_path / "ulm.pub")]) == 0
    assert fingerprint in capsys.readouterr().out
    assert main(["bundle", "sign", package, "--key", str(tmp_path / "ulm.key")]) == 0
    assert main(["bundle", "verify", package, *trust]) == 3
    assert "not trusted here" in capsys.readouterr().out
    assert (
        main(["bundle", "keys", "trust", str(tmp_path / "ulm.pub"), "--name", "Ulm", "--expires", "2099-01-01", *trust])
        == 0
    )
    assert main(["bundle", "verify", package, *trust]) == 0
    assert main(["bundle", "verify", package, "--key", str(tmp_path / "ulm.pub")]) == 0
    assert fingerprint in capsys.readouterr().out
    assert main(["bundle", "keys", "list", *trust]) == 0
    assert "Ulm until 2099-01-01" in capsys.readouterr().out
    assert main(["bundle", "keys", "distrust", "Ulm", *trust]) == 0
    assert main(["bundle", "verify", package, *trust]) == 3


def test_a_wrong_key_file_is_a_sentence_and_exit_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = str(write_small_package(tmp_path / "small.zip"))
    assert main(["bundle", "sign", package, "--key", str(tmp_path / "none.key")]) == 2
    assert "bundle keys make" in capsys.readouterr().err
    assert main(["bundle", "verify", package, "--key", str(tmp_path / "none.pub")]) == 2
