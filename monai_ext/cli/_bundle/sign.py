"""``bundle sign``: put a signature into a package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_options", "main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("package", metavar="PACKAGE.zip", help="file by `bundle pack`")
    parser.add_argument("--key", required=True, metavar="NAME.key", help="private key, made with `bundle keys make`")
    parser.add_argument("--output", metavar="FILE", help="write the signed package there instead of replacing the file")
    parser.add_argument("--passphrase", action="store_true", help="ask for the passphrase of the key")


def main(options: argparse.Namespace) -> int:
    """Sign a package in the OpenSSF model-signing format, which other tools can verify, too."""
    from getpass import getpass

    from monai_ext.sharing.verification import sign_package

    passphrase = getpass("Passphrase: ") if options.passphrase else None
    output = Path(options.output) if options.output else None
    written = sign_package(Path(options.package), private_key=Path(options.key), output=output, passphrase=passphrase)
    sys.stdout.write(f"Signed: {written}\n")
    return 0
