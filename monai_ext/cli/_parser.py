"""The parser of a command, whose help is the docstring of the command's file."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_subcommand", "command_parser"]


def command_parser(name: str, docstring: str | None) -> argparse.ArgumentParser:
    """A parser that explains a command as its file's docstring does: what it does, and an example.

    Args:
        name: of the command.
        docstring: of the command's file; its first line is ``python -m monai_ext NAME``, a colon, and a sentence.
    """
    first, _, rest = (docstring or "").strip().partition("\n")
    sentence = first.partition(": ")[2]
    return argparse.ArgumentParser(
        prog=f"python -m monai_ext {name}",
        description=(sentence[:1].upper() + sentence[1:] + "\n" + rest).strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_subcommand(commands: Any, name: str, sentence: str) -> argparse.ArgumentParser:
    """A subcommand that is listed with a sentence and says the same in its own help.

    Args:
        commands: what ``add_subparsers`` of a command's parser gave.
        name: of the subcommand.
        sentence: what it does, without a full stop.
    """
    subcommand: argparse.ArgumentParser = commands.add_parser(
        name, help=sentence, description=f"{sentence[:1].upper()}{sentence[1:]}."
    )
    return subcommand
