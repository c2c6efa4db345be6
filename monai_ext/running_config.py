"""Which config is being run at this moment, and how an error reaches the person who started it.

MONAI gives the components of a config no way to see the config itself: there is no id for the merged content, and the
command line is of no use to a caller of ``monai.bundle.run(...)``. But a component is always instantiated by a
``ConfigParser`` that is further up the call stack, with a ``ConfigWorkflow`` or one of MONAI's commands above it. They
are found there, by type and by module. This is the one place that looks; without them the functions return None.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import monai_ext.errors

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

__all__ = ["brief_errors", "refusal", "running_config_folder", "running_parser", "started_from_command_line"]

REFUSALS = tuple(
    kind for kind in vars(monai_ext.errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
)
MONAI_WRAPPERS = ("Failed to instantiate component", "Failed to evaluate")
"""How messages begin that MONAI puts around what a component or an expression raises."""

_MARK = "monai_ext_refusal"
_COMMANDS = "monai.bundle.scripts"


def running_parser() -> ConfigParser | None:
    """The parser whose config is being resolved by a caller, with all files merged and all overrides applied."""
    parser: Any = next((owner for owner in _callers() if _is_a(owner, "ConfigParser")), None)
    return parser


def running_config_folder() -> Path | None:
    """Absolute folder of the first config file of the workflow, or of the command such as ``ckpt_export``, that runs.

    Commands of MONAI that make no workflow parse the config themselves and keep its path in a variable.
    """
    workflow: Any = next((owner for owner in _callers() if _is_a(owner, "ConfigWorkflow")), None)
    if workflow is not None:
        return Path(workflow.config_root_path).resolve()
    files = next((files for frame in _frames() if (files := _files_of_command(frame))), None)
    return None if files is None else Path(files[0]).resolve().parent


def refusal(error: BaseException) -> BaseException:
    """Mark an error as one that says everything in its sentence, see :func:`brief_errors`; gives the error."""
    setattr(error, _MARK, True)
    return error


def brief_errors() -> None:
    """On MONAI's command line, let an uncaught error end the command with what went wrong, not with how it happened.

    MONAI wraps whatever a component raises in a ``RuntimeError`` that repeats the component's arguments, once for each
    component around it, so that ``No image was found in ...`` ends up in the middle of a page. Of an error of
    :mod:`monai_ext.errors`, or one marked by :func:`refusal`, the command shows the sentence alone; of any other one
    its own traceback, whose last line is its message. The exception itself is what it was: callers from Python, and
    programs that host a bundle, get MONAI's chain of causes with the error at its end.
    """
    if started_from_command_line():
        sys.excepthook = _show_briefly


def started_from_command_line() -> bool:
    """True in a process started as ``python -m monai.bundle``."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    return specification is not None and specification.name == "monai.bundle.__main__"


def _show_briefly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause = _unwrapped(error)
    if isinstance(cause, REFUSALS) or getattr(cause, _MARK, False):
        sys.stderr.write(f"Error: {cause}\n")
    else:
        traceback.print_exception(cause)


def _unwrapped(error: BaseException) -> BaseException:
    """The error inside MONAI's wrappers."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None and str(error).startswith(MONAI_WRAPPERS):
        error = error.__cause__
    return error


def _frames() -> Iterator[FrameType]:
    """The call stack, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_a(owner: object, name: str) -> bool:
    """Whether an object is of MONAI's class of that name; importing MONAI takes seconds, and mlflow with it."""
    bundle = sys.modules.get("monai.bundle")
    return bundle is not None and isinstance(owner, getattr(bundle, name, ()))


def _callers() -> Iterator[object]:
    """The ``self`` of every method on the call stack, innermost first."""
    return (frame.f_locals.get("self") for frame in _frames())


def _files_of_command(frame: FrameType) -> list[Any]:
    """Config files of a command of MONAI, where the frame is of one."""
    if frame.f_globals.get("__name__") != _COMMANDS:
        return []
    files = frame.f_locals.get("config_file_")
    return [files] if isinstance(files, str | os.PathLike) else list(files or ())
