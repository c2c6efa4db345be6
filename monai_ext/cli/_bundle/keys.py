"""``bundle keys``: make keys, show their fingerprints, and say whose signatures count."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from monai_ext.cli._parser import add_subcommand

__all__ = ["add_options", "main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    make = add_subcommand(actions, "make", "make NAME.key, to sign with, and NAME.pub, to hand out")
    make.add_argument("name", metavar="NAME", help="path without an ending")
    make.add_argument("--passphrase", action="store_true", help="ask for a passphrase to encrypt the key with")
    show = add_subcommand(actions, "show", "show the fingerprint of a public key, to read it out on the phone")
    show.add_argument("key", metavar="KEY.pub")
    trust = add_subcommand(actions, "trust", "let the signatures of a key count, after comparing fingerprints")
    trust.add_argument("key", metavar="KEY.pub")
    trust.add_argument("--name", required=True, help="whose key it is")
    trust.add_argument("--expires", metavar="YYYY-MM-DD", type=_day, help="last day of the trust")
    distrust = add_subcommand(actions, "distrust", "let the signatures of a key count no longer")
    distrust.add_argument("name", metavar="NAME", help="whose key it is")
    listing = add_subcommand(actions, "list", "list whose signatures count")
    for action in (trust, distrust, listing):
        action.add_argument("--trust-file", metavar="FILE", help="instead of ~/.config/monai_ext/trust.json")


def main(options: argparse.Namespace) -> int:
    """Keys: one pair for each who signs, and a list of those that are trusted for each who verifies."""
    from monai_ext.sharing import keys, trust

    say = sys.stdout.write
    if options.action == "make":
        private, public = keys.make_keys(
            Path(options.name), passphrase=_new_passphrase() if options.passphrase else None
        )
        say(f"Keep {private} to yourself, hand out {public}. Fingerprint, to be read out on the phone:\n")
        say(keys.fingerprint(keys.open_public_key(public)) + "\n")
        return 0
    if options.action == "show":
        say(keys.fingerprint(keys.open_public_key(options.key)) + "\n")
        return 0
    file = Path(options.trust_file) if options.trust_file else trust.trust_file()
    if options.action == "trust":
        key = trust.add_trusted_key(file, options.name, Path(options.key), expires=options.expires)
        say(f"Signatures of {key.name} count here{_until(key.expires)}. Fingerprint:\n{keys.fingerprint(key.key)}\n")
    elif options.action == "distrust":
        trust.remove_trusted_key(file, options.name)
        say(f"Signatures of {options.name} count no longer.\n")
    else:
        for key in trust.read_trust(file):
            say(f"{key.name}{_until(key.expires)}\n    {keys.fingerprint(key.key)}\n")
    return 0


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day of the calendar, such as 2027-12-31") from error


def _until(expires: datetime.date | None) -> str:
    return "" if expires is None else f" until {expires}"


def _new_passphrase() -> str:
    from getpass import getpass

    first, second = getpass("Passphrase: "), getpass("Again: ")
    if first != second or not first:
        raise ValueError("The passphrases differ, or are empty. No key was made.")
    return first
