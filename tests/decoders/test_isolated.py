"""Calls in a process of its own: what goes wrong there costs the call, and the next one works."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monai_ext.decoders import DecodingFailed, IsolatedProcess, shared_process


@pytest.fixture(scope="module")
def process() -> Iterator[IsolatedProcess]:
    process = IsolatedProcess(timeout_s=1.0, memory_bytes=2**30)
    yield process
    process.close()


def call(
    process: IsolatedProcess, misdeed: str, payload: bytes = b"", **arguments: Any
) -> tuple[dict[str, Any], bytes]:
    values, buffer = process.call(f"helpers.misdeeds:{misdeed}", arguments, payload)
    return values, bytes(buffer)


def test_values_and_bytes_go_there_and_back(process: IsolatedProcess) -> None:
    payload = os.urandom(3 * 2**20)  # more than fits into a pipe at once
    values, buffer = call(process, "echo", payload, text="ü", numbers=[1, 2.5])
    assert values.pop("pid") == process.pid != os.getpid()
    assert (values, buffer) == ({"text": "ü", "numbers": [1, 2.5]}, payload)


def test_the_process_is_kept_from_call_to_call(process: IsolatedProcess) -> None:
    assert call(process, "echo")[0] == call(process, "echo")[0]


@pytest.mark.parametrize(
    ("misdeed", "arguments", "reason"),
    [
        ("die", {"signal": "SIGSEGV"}, "crash"),
        ("die", {"signal": "SIGABRT"}, "crash"),
        ("die", {"signal": "SIGKILL"}, "crash"),
        ("die", {"signal": "SIGSTOP"}, "timeout"),
        ("loop", {}, "timeout"),
        ("fill_memory", {}, "out_of_memory"),
        ("stumble", {}, "undecodable"),
    ],
)
def test_a_misdeed_costs_its_call_only(
    process: IsolatedProcess, misdeed: str, arguments: dict[str, str], reason: str
) -> None:
    with pytest.raises(DecodingFailed) as raised:
        call(process, misdeed, **arguments)
    assert raised.value.reason == reason
    assert "SECRET" not in str(raised.value)
    assert call(process, "echo", b"next")[1] == b"next"


@pytest.mark.parametrize("name", ["SIGSTOP", "SIGKILL"])
def test_a_call_whose_process_was_stopped_from_outside_is_made_again(
    process: IsolatedProcess, tmp_path: Path, name: str
) -> None:
    assert call(process, "die", b"x", signal=name, once=str(tmp_path / "once"))[1] == b"x"


def test_a_crash_of_its_own_is_not_tried_again(process: IsolatedProcess, tmp_path: Path) -> None:
    with pytest.raises(DecodingFailed, match="crash"):
        call(process, "die", signal="SIGSEGV", once=str(tmp_path / "once"))


def test_a_process_that_was_killed_while_it_had_nothing_to_do_is_replaced(process: IsolatedProcess) -> None:
    call(process, "echo")
    os.kill(process.pid or 0, signal.SIGKILL)
    assert call(process, "echo", b"again")[1] == b"again"


def test_it_prints_nothing(process: IsolatedProcess, capfd: pytest.CaptureFixture[str]) -> None:
    call(process, "echo")
    assert capfd.readouterr() == ("", "")


def test_a_forked_process_starts_a_child_of_its_own(process: IsolatedProcess) -> None:
    mine = call(process, "echo")[0]["pid"]
    reader, writer = os.pipe()
    fork = os.fork()
    if not fork:
        os.write(writer, b"other" if call(process, "echo")[0]["pid"] != mine else b"same")
        process.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert os.read(reader, 9) == b"other"
    assert call(process, "echo")[0]["pid"] == mine


def test_it_needs_neither_torch_nor_monai() -> None:
    values, _ = shared_process().call("helpers.misdeeds:loaded", {})
    assert not {"torch", "monai"} & set(values["modules"])
