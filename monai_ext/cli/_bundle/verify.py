"""``bundle verify``: make sure of who signed a package, and that nothing was changed since."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_options", "add_trust_options", "main", "trusted_keys"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("package", metavar="PACKAGE.zip", help="file that was sent to you")
    add_trust_options(parser)


def add_trust_options(parser: argparse.ArgumentParser) -> None:
    """Whose signatures count."""
    parser.add_argument("--key", metavar="KEY.pub", help="the signer's public key, instead of the trusted ones")
    parser.add_argument("--trust-file", metavar="FILE", help="instead of ~/.config/monai_ext/trust.json")


def main(options: argparse.Namespace) -> int:
    """Verify a package before it is unpacked; exit status 0: as it was signed, 3: not so, 2: it could not be read."""
    from monai_ext.sharing.verification import verify_package

    found = verify_package(options.package, trusted=trusted_keys(options))
    say = sys.stdout.write
    if found.problems:
        say(f"{options.package}: NOT as it was signed by somebody who is trusted here.\n")
        say("".join(f"  {problem}\n" for problem in found.problems))
        return 3
    say(f"{options.package}: {found.manifest.bundle} {found.manifest.bundle_version}, {len(found.digests)} files, as")
    say(f" {found.signer} signed them.\n{found.fingerprint}\n")
    return 0


def trusted_keys(options: argparse.Namespace) -> list:
    """The keys whose signatures count, by what was said on the command line."""
    from monai_ext.sharing.keys import open_public_key, public_key_text
    from monai_ext.sharing.trust import TrustedKey, read_trust, trust_file

    if options.key:
        return [TrustedKey(Path(options.key).stem, public_key_text(open_public_key(options.key)))]
    return read_trust(Path(options.trust_file) if options.trust_file else trust_file())
