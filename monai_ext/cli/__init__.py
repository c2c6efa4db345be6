"""Commands: ``python -m monai_ext NAME ...`` runs ``main(arguments)`` of ``monai_ext/cli/NAME.py``.

A command is a file here: its ``main`` parses, calls and returns the exit status, and the first line of its docstring is
the help that is listed. Nothing has to be registered, and only the file of the command that is called is imported.
"""

from __future__ import annotations

import ast
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from monai_ext.foreign_text import printable

__all__ = ["commands", "main"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK = _FULL | {errno.EACCES, errno.EPERM, errno.EROFS}
"""What is wrong with a disk and not with the program: such errors need no traceback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 2 when it was called wrongly or its input cannot be used."""
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        return _nobody_reads()


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_overview())
        return 0 if arguments else 2
    name, module = arguments[0], arguments[0].replace("-", "_")
    if module not in commands():
        sys.stderr.write(f"There is no command {name!r}.\n\n{_overview()}")
        return 2
    try:
        return int(importlib.import_module(f"{__name__}.{module}").main(arguments[1:]) or 0)
    except ValueError as error:
        lines = str(error).split("\n")
        sys.stderr.write("\n".join(printable(line) for line in lines) + "\n")
        return 2
    except OSError as error:
        if error.errno not in _DISK:
            raise
        sys.stderr.write(_about_disk(name, error) + "\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130


def commands() -> dict[str, str]:
    """The commands there are, each with the first line of its docstring; nothing is imported."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    docstrings = ((file.stem, ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))) for file in files)
    return {name: (text or "").split("\n")[0] for name, text in docstrings}


def _nobody_reads() -> int:
    """What reads the output, such as ``head``, has enough: Python must not try once more on its way out.

    What a command makes is complete by then, since it says so last; only the saying is cut short.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # as a shell says that SIGPIPE ended it


def _about_disk(command: str, error: OSError) -> str:
    place = f" ({printable(str(error.filename))})" if error.filename else ""
    remedy = "make room" if error.errno in _FULL else "look at the permissions"
    return f"{command} stopped: {error.strerror}{place}. Please {remedy} or name another place, then start it again."


def _overview() -> str:
    lines = [f"  {name.replace('_', '-'):12s} {text.split(': ', 1)[-1]}" for name, text in commands().items()]
    return "\n".join(["usage: python -m monai_ext COMMAND ...", "", *lines, "", ""])
