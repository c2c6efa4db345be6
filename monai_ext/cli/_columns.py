"""Other names of the columns of a labels table, as options of a command."""

from __future__ import annotations

import argparse

__all__ = ["add_column_options", "chosen_columns"]


def add_column_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--label-column`` and ``--group-column``."""
    parser.add_argument("--label-column", metavar="NAME", help="column of the class (label)")
    parser.add_argument("--group-column", metavar="NAME", help="column of the patient (patient_id)")


def chosen_columns(options: argparse.Namespace) -> dict[str, str | None]:
    """Give what was chosen, as the data adapters take it."""
    named = {"label": options.label_column, "group": options.group_column}
    return {key: name for key, name in named.items() if name}
