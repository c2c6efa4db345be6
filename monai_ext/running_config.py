"""Which config is being run at this moment, and how an error reaches the person who started it.

MONAI gives the components of a config no way to see the config itself: there is no id for the merged content, and the
command line is of no use to a caller of ``monai.bundle.run(...)``. But a component is always instantiated by a
``ConfigParser`` that is further up the call stack, and in a workflow by a ``ConfigWorkflow`` above it. Both are found
there, by type. This is the one place that looks; without a parser on the stack the functions return None.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from monai.bundle import ConfigParser, ConfigWorkflow

__all__ = ["refusal", "running_config_folder", "running_parser", "started_from_command_line"]


def running_parser() -> ConfigParser | None:
    """The parser whose config is being resolved by a caller, with all files merged and all overrides applied."""
    return next((owner for owner in _callers() if isinstance(owner, ConfigParser)), None)


def running_config_folder() -> Path | None:
    """Absolute folder of the first ``--config_file`` of the workflow that is being run."""
    workflow = next((owner for owner in _callers() if isinstance(owner, ConfigWorkflow)), None)
    return None if workflow is None else Path(workflow.config_root_path).resolve()


def refusal(error: BaseException) -> BaseException:
    """What to raise for an error: on MONAI's command line an exit with status 1 that prints the sentence alone.

    MONAI wraps whatever a component raises in a ``RuntimeError`` that repeats the component's arguments, so that the
    sentence would be lost in the middle of a long traceback. A ``SystemExit`` passes unwrapped.
    """
    return SystemExit(f"Error: {error}") if started_from_command_line() else error


def _callers() -> Iterator[object]:
    """The ``self`` of every method on the call stack, innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        yield frame.f_locals.get("self")
        frame = frame.f_back  # type: ignore[assignment]


def started_from_command_line() -> bool:
    """True in a process started as ``python -m monai.bundle``."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    return specification is not None and specification.name == "monai.bundle.__main__"
