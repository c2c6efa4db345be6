"""``bundle check``: what the model zoo's CI checks, without a network."""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_options", "main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument(
        "bundles", metavar="BUNDLE", nargs="+", help="folder of a bundle of your own: its network is run"
    )
    parser.add_argument("--schema", metavar="FILE", help="MONAI's meta_schema_20240725.json, to validate with it, too")
    parser.add_argument("--export", action="store_true", help="export the trained model to TorchScript and ONNX, too")


def main(options: argparse.Namespace) -> int:
    """Check bundles of your own as MONAI's model zoo does; exit status 1 when a check failed."""
    from monai_ext.sharing.check import EXPORTS, as_table, check_bundle

    failed = False
    for bundle in options.bundles:
        rows = check_bundle(bundle, schema=options.schema, export=EXPORTS if options.export else ())
        sys.stdout.write(f"{bundle}\n{as_table(rows)}\n")
        failed = failed or any(row.status == "failed" for row in rows)
    return int(failed)
