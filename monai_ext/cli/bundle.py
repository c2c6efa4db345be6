"""``python -m monai_ext bundle``: share a bundle with somebody, or look at, verify and safely run one that was shared.

The one who trained packs and signs; the one who receives verifies, audits and runs: docs/sharing.md tells it in order.

Example:
  python -m monai_ext bundle audit package.zip --format html --output audit.html
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from monai_ext.cli._parser import add_subcommand, command_parser

__all__ = ["main"]

COMMANDS = {
    "pack": "write a trained classification bundle as one file that can be sent",
    "keys": "make keys, show fingerprints, say whose signatures count",
    "sign": "put a signature into a package",
    "verify": "make sure of who signed a package, and that nothing was changed",
    "check": "what the model zoo's CI checks about a bundle of your own",
    "audit": "look through a bundle from somebody else without executing anything of it",
    "run-safe": "verify, audit and run a package without network and without your files",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit status."""
    parser = command_parser("bundle", __doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"monai_ext.cli._bundle.{name.replace('-', '_')}")
        command = add_subcommand(commands, name, text)
        module.add_options(command)
        command.set_defaults(main=module.main)
    options = parser.parse_args(arguments)
    return int(options.main(options))
