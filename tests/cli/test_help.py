"""Every command says what it does, with an example; the overview lists all of them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import pytest

from monai_ext.cli import commands, main


def help_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", commands())
def test_the_help_of_a_command_says_what_it_does_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = name.replace("_", "-")
    text = help_of(command, capsys=capsys)
    description = text.partition("\n\n")[2]
    assert re.match(r"[A-Z][^\n]{30,}", description), "the description is a sentence"
    assert re.search(rf"Example:\n  python -m monai_ext {command} ", text)
    assert "returns the exit status" not in text


@pytest.mark.parametrize("name", commands())
def test_subcommands_say_what_they_do(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = name.replace("_", "-")
    listed = re.search(r"^  COMMAND\n((?:    .*\n)+)", help_of(command, capsys=capsys), re.MULTILINE)
    for subcommand in re.findall(r"^    (\S+)", listed.group(1), re.MULTILINE) if listed else []:
        assert re.search(r"\n\n[A-Za-z][^\n]{10,}", help_of(command, subcommand, capsys=capsys)), subcommand


def test_the_overview_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name.replace('_', '-')} " in text for name in commands())


def test_a_full_disk_is_a_sentence_and_any_other_error_of_the_system_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(number: int) -> None:
        def refuse(arguments: list[str]) -> int:
            raise OSError(number, os.strerror(number), "/disk/out.csv")

        monkeypatch.setattr("monai_ext.cli.splits.main", refuse)

    fail(errno.ENOSPC)
    assert main(["splits", "make"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("splits stopped: No space left on device (/disk/out.csv). Please make room")
    fail(errno.EACCES)
    assert main(["splits", "make"]) == 2
    assert "look at the permissions" in capsys.readouterr().err
    fail(errno.EBADF)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["splits", "make"])


@pytest.mark.parametrize("arguments", [["--help"], ["data", "list"]])
def test_a_reader_that_has_enough_ends_a_command_without_a_traceback(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "monai_ext", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        printed = process.stderr.read()
    assert printed == ""
    assert process.returncode == 141


def test_a_day_that_is_none_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bundle", "keys", "trust", "a.pub", "--name", "A", "--expires", "2027-02-30"])
    assert "'2027-02-30' is no day of the calendar" in capsys.readouterr().err
