"""Start a function in two processes, for the tests of distributed runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.fresh_process import fork_server


def run_two_processes(function: Callable[[int, Path], Any], folder: Path) -> None:
    """Call ``function(rank, folder)`` for ranks 0 and 1 at the same time; both have to end without an error."""
    processes = [fork_server().Process(target=function, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
