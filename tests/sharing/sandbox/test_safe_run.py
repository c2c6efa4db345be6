"""What a bundle can and cannot do in each sandbox of this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.packages import write_small_package
from monai_ext.errors import PackageError, SandboxError
from monai_ext.sharing.sandbox import run_safely, safe_run
from monai_ext.sharing.sandbox.limits import Limits
from monai_ext.sharing.sandbox.safe_run import SANDBOXES, SafeRun, run_in_sandbox

USABLE = [name for name, problem in SANDBOXES.items() if problem() is None]
sandboxes = pytest.mark.parametrize("sandbox", USABLE)


def _run(folder: Path, code: str, sandbox: str, **limits: float) -> SafeRun:
    folders = {name: folder / name for name in ("bundle", "data", "output")}
    for path in folders.values():
        path.mkdir()
    (folders["data"] / "image.txt").write_text("image")
    (folders["bundle"] / "own.txt").write_text("own")
    command = [sys.executable, "-I", "-c", code]
    return run_in_sandbox(command, **folders, sandbox=sandbox, limits=Limits(**{"seconds": 60, **limits}))


def _tells(code: str) -> str:
    return f"try:\n    {code}\n    print('DONE')\nexcept OSError as error:\n    print('REFUSED', error)"


@sandboxes
def test_its_own_folder_and_the_data_are_read_and_the_output_is_written(tmp_path: Path, sandbox: str) -> None:
    code = f"import os; print(open('own.txt').read(), open('{tmp_path}/data/image.txt').read(), sorted(os.environ))\n"
    ran = _run(tmp_path, code + f"open('{tmp_path}/output/a.txt', 'w').write('x')", sandbox)
    assert ran.exit_status == 0, ran.log
    assert "own image" in ran.log
    assert "PYTEST" not in ran.log
    assert ran.files == ["a.txt"]


@sandboxes
def test_files_outside_are_neither_read_nor_written(tmp_path: Path, sandbox: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for number, code in enumerate(
        [
            f"print(open('{secret}').read())",
            f"open('{tmp_path}/data/image.txt', 'w')",
            f"open('{tmp_path}/bundle/own.txt', 'w')",
            f"open('{tmp_path}/new.txt', 'w')",
            "print(open('/etc/passwd').read())",
            f"__import__('os').remove('{tmp_path}/data/image.txt')",
        ]
    ):
        (tmp_path / str(number)).mkdir()
        ran = _run(
            tmp_path / str(number), _tells(code.replace(f"{tmp_path}/data", f"{tmp_path}/{number}/data")), sandbox
        )
        assert "REFUSED" in ran.log, code
        assert "secret" not in ran.log.replace(str(secret), "")
    assert secret.read_text() == "secret"
    assert not (tmp_path / "new.txt").exists()


@sandboxes
def test_there_is_no_network_not_even_to_this_machine(tmp_path: Path, sandbox: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = _run(tmp_path, _tells(f"__import__('socket').create_connection(('127.0.0.1', {port}), 3)"), sandbox)
        server.settimeout(0.01)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "REFUSED" in ran.log


@sandboxes
def test_other_processes_cannot_be_signalled(tmp_path: Path, sandbox: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        ran = _run(tmp_path, _tells(f"__import__('os').kill({other.pid}, 9)"), sandbox)
        assert other.poll() is None
        other.kill()
    assert "REFUSED" in ran.log


@sandboxes
def test_processes_beyond_the_limit_cannot_be_made(tmp_path: Path, sandbox: str) -> None:
    code = (
        "import os, time\nmade = 0\ntry:\n    while made < 300:\n        if os.fork() == 0:\n"
        "            time.sleep(60)\n        made += 1\nexcept OSError:\n"
        "    print('STOPPED AT', made, flush=True)\nos._exit(0)"
    )
    ran = _run(tmp_path, code, sandbox, processes=50)
    assert "STOPPED AT" in ran.log
    assert int(ran.log.split()[-1]) <= 50


@sandboxes
def test_output_beyond_the_limit_stops_the_run_in_one_file_and_in_many(tmp_path: Path, sandbox: str) -> None:
    in_one_file = f"file = open('{tmp_path}/one/output/big', 'wb')\nwhile True:\n    file.write(bytes(2**20))"
    in_many_files = (
        f"n = 0\nwhile True:\n    n += 1\n    open(f'{tmp_path}/many/output/{{n}}', 'wb').write(bytes(2**20))"
    )
    for name, code in (("one", in_one_file), ("many", in_many_files)):
        (tmp_path / name).mkdir()
        ran = _run(tmp_path / name, code, sandbox, disk_bytes=8 * 2**20)
        assert ran.stopped is not None or ran.exit_status != 0
    assert ran.stopped == "it wrote more than 8,388,608 bytes"


@sandboxes
def test_a_run_without_end_is_stopped(tmp_path: Path, sandbox: str) -> None:
    ran = _run(tmp_path, "import time; time.sleep(600)", sandbox, seconds=1)
    assert ran.stopped == "it ran for more than 1 seconds"


@sandboxes
def test_links_and_escape_sequences_that_it_leaves_reach_nobody(tmp_path: Path, sandbox: str) -> None:
    code = f"import os; os.symlink('/etc/passwd', '{tmp_path}/output/result.csv'); print('\\x1b[2Jclean')"
    ran = _run(tmp_path, code, sandbox)
    assert ran.removed_links == ["result.csv"]
    assert "\x1b" not in ran.log
    assert "clean" in ran.log


def test_this_machine_has_a_sandbox_to_test() -> None:
    if sys.platform.startswith("linux") and os.environ.get("CI"):
        assert USABLE


def test_without_a_sandbox_it_is_refused_and_what_is_not_protected_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(safe_run, "SANDBOXES", {"landlock": lambda: "the kernel has no Landlock"})
    with pytest.raises(SandboxError, match=r"the kernel has no Landlock.*only the audit protects you"):
        run_safely(write_small_package(tmp_path / "a.zip"), tmp_path, tmp_path / "out", trusted=[])


def test_what_is_unsigned_refused_by_the_audit_or_has_no_folder_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    package = write_small_package(tmp_path / "a.zip")
    folders = (tmp_path / "data", tmp_path / "out")
    with pytest.raises(PackageError, match="is not run: it is not signed"):
        run_safely(package, *folders, trusted=[], sandbox="none")
    hostile = {"configs/inference.json": json.dumps({"x": {"_target_": "os.system"}}).encode()}
    package = write_small_package(tmp_path / "b.zip", hostile)
    with pytest.raises(SandboxError, match="such a bundle is never run"):
        run_safely(package, *folders, trusted=[], sandbox="none", accept_unsigned=True, accept_unknown=True)
    unknown = {"configs/inference.json": json.dumps({"x": "$@trainer.of_its_own()"}).encode()}
    package = write_small_package(tmp_path / "c.zip", unknown)
    with pytest.raises(SandboxError, match="--accept-unknown"):
        run_safely(package, *folders, trusted=[], sandbox="none", accept_unsigned=True)
    package = write_small_package(tmp_path / "d.zip")
    with pytest.raises(SandboxError, match="no folder"):
        run_safely(package, tmp_path / "none", tmp_path / "out", trusted=[], sandbox="none", accept_unsigned=True)
    with pytest.raises(SandboxError, match="lie in one another"):
        run_safely(
            package, tmp_path / "data", tmp_path / "data" / "out", trusted=[], sandbox="none", accept_unsigned=True
        )
