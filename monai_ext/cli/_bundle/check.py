"""``bundle check``: what the model zoo's CI checks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_options", "main"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.add_argument(
        "bundles", metavar="BUNDLE", nargs="+", help="folder of a bundle of your own: its network is run"
    )
    parser.add_argument(
        "--schema", metavar="FILE", help="MONAI's meta_schema_20240725.json; without it, the copy in the cache folder"
    )
    parser.add_argument(
        "--fetch-schema", action="store_true", help="fetch the schema that metadata.json names into the cache, once"
    )
    parser.add_argument("--no-export", action="store_true", help="leave out the exports to TorchScript and ONNX")


def main(options: argparse.Namespace) -> int:
    """Check bundles of your own as MONAI's model zoo does; exit status 1 when a check failed."""
    from monai_ext.sharing.check import EXPORTS, as_overview, as_table, check_bundle, read_metadata
    from monai_ext.sharing.metadata_schema import fetch_schema

    tables = {}
    for bundle in options.bundles:
        schema = options.schema
        if options.fetch_schema and schema is None:
            schema = fetch_schema(read_metadata(Path(bundle)))
        tables[bundle] = check_bundle(bundle, schema=schema, export=() if options.no_export else EXPORTS)
        sys.stdout.write(f"{bundle}\n{as_table(tables[bundle])}\n")
    if len(tables) > 1:
        sys.stdout.write(f"{as_overview({Path(name).resolve().name: rows for name, rows in tables.items()})}\n")
    return int(any(row.status == "failed" for rows in tables.values() for row in rows))
