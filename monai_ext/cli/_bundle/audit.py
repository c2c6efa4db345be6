"""``bundle audit``: look through a bundle without executing anything of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_options", "main"]

FORMATS = ("text", "json", "html")


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument("bundle", metavar="PATH_OR_ZIP", help="folder or zip of the bundle")
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the report (text)")
    parser.add_argument("--output", metavar="FILE", help="write the report there instead of printing it")
    parser.add_argument("--known", metavar="PATH_OR_ZIP", help="list what differs from this bundle, which is known")


def main(options: argparse.Namespace) -> int:
    """Look through a bundle; exit status 0: passed, 1: something is unknown, 3: refused, 2: it could not be read."""
    from monai_ext.errors import BundleAuditError
    from monai_ext.files import write_atomically
    from monai_ext.sharing.audit import as_html, as_json, as_text, audit_bundle

    report = audit_bundle(options.bundle, known=options.known)
    text = {"text": as_text, "json": as_json, "html": as_html}[options.format](report)
    if options.output is None:
        sys.stdout.write(text)
    else:
        try:
            write_atomically(Path(options.output), lambda file: file.write(text.encode()))
        except OSError as error:
            raise BundleAuditError(
                f"Writing the report to {options.output}: {error.strerror or error}. Name a file in another folder."
            ) from error
        sys.stdout.write(f"{report.verdict}: {options.output}\n")
    return report.exit_status
