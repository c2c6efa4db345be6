"""Programs in processes of their own, without the seconds of processor time that importing MONAI takes in each.

Processes are forked from a server that has imported what bundles need, and that has used none of it: no thread, no
random number, no kernel of torch.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path

import torch

__all__ = ["fork_server", "run_program", "run_program_twice", "without"]

PRELOADED = ["pytest", "monai.bundle", "mlflow.store.tracking.sqlalchemy_store", "monai_ext.study.executors.preloaded"]
"""A process has one server; a study's cells are forked from it too, so what they need is there as well."""

SECONDS = 280


def fork_server() -> ForkServerContext:
    """Processes as ``multiprocessing`` makes them, of the server that all tests of a worker share."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_program(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What ``python *arguments`` does and prints; the arguments are ``-m MODULE ...`` or ``SCRIPT ...``."""
    return _run_all(arguments, cwd, [{**os.environ, **(env or {})}])[0]


def run_program_twice(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> list[subprocess.CompletedProcess[str]]:
    """Two processes of a program that find each other, by what ``torchrun`` tells its processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        joint = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = [{"RANK": rank, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"} for rank in "01"]
    return _run_all(arguments, cwd, [{**os.environ, **(env or {}), **joint, **rank} for rank in ranks])


def without(*packages: str) -> str:
    """First lines of a script that runs where none of these packages is installed; the server has imported them."""
    return f"""
import importlib.abc, sys

packages = {packages!r}

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in packages:
            raise ImportError(f"{{name}} is not installed here")

for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocker())
"""


def _run_all(
    arguments: tuple[str, ...], cwd: Path | None, environments: list[dict[str, str]]
) -> list[subprocess.CompletedProcess[str]]:
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / str(number) for number in range(len(environments))]
        processes = [
            fork_server().Process(target=_run, args=(arguments, str(cwd or Path.cwd()), environment, place))
            for environment, place in zip(environments, places, strict=True)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(SECONDS)
            if process.exitcode is None:
                process.kill()
                process.join()
        return [
            subprocess.CompletedProcess(
                arguments, process.exitcode or 0, _text(place, "stdout"), _text(place, "stderr")
            )
            for process, place in zip(processes, places, strict=True)
        ]


def _run(arguments: tuple[str, ...], cwd: str, environment: dict[str, str], place: Path) -> None:
    place.mkdir()
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        with open(place / name, "wb") as file:
            os.dup2(file.fileno(), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    status = _status_of(arguments)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # a process of multiprocessing ends without
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _status_of(arguments: tuple[str, ...]) -> int:
    try:
        if arguments[0] == "-m":
            sys.path.insert(0, os.getcwd())
            sys.argv = list(arguments[1:])
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(arguments[0]).parent))
            sys.argv = list(arguments)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _text(place: Path, name: str) -> str:
    file = place / name
    return file.read_text(errors="replace") if file.exists() else ""
