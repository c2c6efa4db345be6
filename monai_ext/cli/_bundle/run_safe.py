"""``bundle run-safe``: verify, audit and run somebody else's bundle in a sandbox."""

from __future__ import annotations

import argparse
import sys

from monai_ext.cli._bundle.verify import add_trust_options, trusted_keys

__all__ = ["add_options", "main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("package", metavar="PACKAGE.zip", help="file that was sent to you")
    parser.add_argument("data", metavar="DATA", help="folder with images, which is only read")
    parser.add_argument("output", metavar="OUT", help="new folder for the results")
    add_trust_options(parser)
    parser.add_argument("--sandbox", default="auto", help="auto, bubblewrap, landlock, or none: no protection at all")
    parser.add_argument("--accept-unsigned", action="store_true", help="run what nobody vouches for, too")
    parser.add_argument("--accept-unknown", action="store_true", help="run what the audit does not know, too")
    parser.add_argument("--seconds", type=float, default=3600.0, help="longest run (3600)")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="largest output (4)")
    parser.add_argument("--processes", type=int, default=512, help="most processes and threads at a time (512)")
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("ID", "VALUE"), help="override of a config"
    )


def main(options: argparse.Namespace) -> int:
    """Run a bundle's inference without network and without your files; exit status 0: it ran, 4: it failed."""
    from monai_ext.sharing.sandbox import run_safely
    from monai_ext.sharing.sandbox.limits import Limits

    limits = Limits(options.processes, int(options.gigabytes * 2**30), options.seconds)
    ran = run_safely(
        options.package,
        options.data,
        options.output,
        trusted=trusted_keys(options),
        sandbox=options.sandbox,
        accept_unsigned=options.accept_unsigned,
        accept_unknown=options.accept_unknown,
        options=[part for name, value in options.set for part in (f"--{name}", value)],
        limits=limits,
    )
    sys.stdout.write(ran.log)
    for link in ran.removed_links:
        sys.stdout.write(f"Removed a link that it left: {link}\n")
    if ran.stopped or ran.exit_status:
        sys.stdout.write(
            f"The bundle was stopped: {ran.stopped}.\n" if ran.stopped else f"It failed ({ran.exit_status}).\n"
        )
        return 4
    sys.stdout.write(f"Run in the sandbox {ran.sandbox}; {len(ran.files)} files in {options.output}.\n")
    return 0
