"""Build an engine of the config and run it; on the command line, end with what went wrong, not with how it happened."""

from __future__ import annotations

import traceback

import monai_ext.errors
from monai_ext.running_config import refusal, running_parser, started_from_command_line

__all__ = ["run_engine"]

REFUSALS = tuple(getattr(monai_ext.errors, name) for name in monai_ext.errors.__all__)
MONAI_WRAPPERS = ("Failed to instantiate component", "Failed to evaluate")
"""How messages begin that MONAI puts around what a component or an expression raises."""


def run_engine(engine_id: str) -> None:
    """Build the engine with this id, and all that it needs, and call its ``run``; made to be a step of ``run``.

    It does what ``"$@train::trainer.run()"`` does. MONAI wraps whatever is raised meanwhile, once for each component
    around it, so that ``No image was found in ...`` ends up in the middle of a page. Here an error of
    :mod:`monai_ext.errors` ends the command with its sentence alone, and any other one with its own traceback, whose
    last line is its message. Callers from Python get MONAI's chain of causes, with the error at
    its end.

    Args:
        engine_id: for example ``"train::trainer"``.

    Raises:
        RuntimeError: not called by a MONAI config.
    """
    parser = running_parser()
    if parser is None:
        raise RuntimeError("run_engine works as a step of a MONAI config; call the engine's own run() elsewhere.")
    try:
        parser.get_parsed_content(engine_id).run()
    except Exception as wrapped:
        if not started_from_command_line():
            raise
        error = _unwrapped(wrapped)
        if isinstance(error, REFUSALS):
            raise refusal(error) from wrapped
        traceback.print_exception(error)
        raise SystemExit(1) from wrapped


def _unwrapped(error: BaseException) -> BaseException:
    """The error inside MONAI's wrappers."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None and str(error).startswith(MONAI_WRAPPERS):
        error = error.__cause__
    return error
