"""``python -m monai_ext bundle``: pack, sign, verify, audit, check and safely run a bundle."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

__all__ = ["main"]

COMMANDS = {
    "pack": "write a trained classification bundle as one file that can be sent",
    "keys": "make keys, show fingerprints, say whose signatures count",
    "sign": "put a signature into a package",
    "verify": "make sure of who signed a package, and that nothing was changed",
    "check": "what the model zoo's CI checks about a bundle of your own, without a network",
    "audit": "look through a bundle from somebody else without executing anything of it",
    "run-safe": "verify, audit and run a package without network and without your files",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Share a bundle with somebody, or use one that was shared: `bundle COMMAND --help` tells more."""
    parser = argparse.ArgumentParser(prog="python -m monai_ext bundle", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"monai_ext.cli._bundle.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=text, description=module.main.__doc__)
        module.add_options(command)
        command.set_defaults(main=module.main)
    options = parser.parse_args(arguments)
    return int(options.main(options))
