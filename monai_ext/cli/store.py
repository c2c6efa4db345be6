"""``python -m monai_ext store``: look at a slice store, check it, and say what it keeps about patients.

Example:
  python -m monai_ext store info /data/ct_store
  python -m monai_ext store verify /data/ct_store
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from monai_ext.cli._parser import add_subcommand, command_parser
from monai_ext.cli._progress import progress_bar
from monai_ext.data.store.reader import SliceStore

__all__ = ["main"]

_VALUES = {
    "ct": "int16 Hounsfield units",
    "mr": "int16 MR, 0 and 10,000 are percentiles of the series",
    "picture": "uint8 gray levels",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a ``store`` command; returns the exit status, 1 when ``verify`` finds damage and leaves it."""
    options = _parser().parse_args(arguments)
    return int(options.run(SliceStore(options.store), options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("store", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: object, text: str) -> argparse.ArgumentParser:
        command = add_subcommand(commands, name, text)
        command.add_argument("store", metavar="STORE", help="folder of the slice store")
        command.set_defaults(run=run)
        return command

    add("info", _info, "what is in a store").add_argument("--json", action="store_true", help="as JSON")
    verify = add("verify", _verify, "read every slice and compare it with its checksum; exit status 1 on damage")
    verify.add_argument("--set-aside", action="store_true", help="let readers pass over damaged slices from now on")
    thumbnails = add("thumbnails", _thumbnails, "draw contact sheets: the middle slice of every series")
    thumbnails.add_argument("--output", help="folder for the sheets; STORE_thumbnails when omitted")
    thumbnails.add_argument("--series-a-sheet", type=int, default=48, metavar="N", help="48 when omitted")
    thumbnails.add_argument(
        "--window", type=_window, default="mediastinum", help="preset, or --window=CENTER,WIDTH in HU"
    )
    add("privacy-report", _privacy_report, "what is kept about patients, and why").add_argument(
        "--json", action="store_true", help="as JSON"
    )
    return parser


def _window(text: str) -> str | list[float]:
    return [float(part) for part in text.split(",")] if "," in text else text


def _info(store: SliceStore, options: argparse.Namespace) -> int:
    index = store.columns(["patient_id"])
    stored = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    slices, rows, columns = store.shapes.T if len(store.shapes) else [store.shapes.sum(0)] * 3
    raw = int((slices.astype("int64") * rows * columns).sum()) * store.dtype.itemsize
    sizes = Counter(f"{rows} x {columns}" for _, rows, columns in store.shapes)
    facts = {
        "store": str(store.path),
        "source_kind": store.source_kind,
        "values": {
            "ct": "int16 Hounsfield units",
            "mr": "int16 MR, 0 and 10,000 are percentiles",
            "picture": "uint8 gray levels",
        }[store.source_kind],
        "patients": len(index.column("patient_id").unique()),
        "series": len(store.series_ids),
        "slices": len(store),
        "set_aside": len(store.set_aside),
        "sizes": ", ".join(f"{size} ({count} series)" for size, count in sizes.most_common(10)),
        "stored_mb": round(stored / 1e6, 3),
        "raw_mb": round(raw / 1e6, 3),
        "content_hash": store.content_hash,
    }
    text = json.dumps(facts, indent=2) if options.json else "\n".join(f"{k:13s} {v}" for k, v in facts.items())
    sys.stdout.write(text + "\n")
    return 0


def _verify(store: SliceStore, options: argparse.Namespace) -> int:
    from monai_ext.data.store.check import check_series, set_aside

    damaged = []
    with progress_bar(int(store.shapes[:, 0].sum()), doing="Verifying", unit=" slices") as bar:
        for check in check_series(store):
            bar.update(check.slices)
            if check.damaged:
                damaged.append(check)
                tqdm.write("\n".join(check.reasons), file=sys.stdout)
    count = sum(len(check.damaged) for check in damaged)
    if options.set_aside:
        set_aside(store, damaged)
    verdict = f"{count} of {int(store.shapes[:, 0].sum())} slices are damaged, in {len(damaged)} series"
    sys.stdout.write(f"{store.path}: {verdict}{', and set aside' if options.set_aside and count else ''}.\n")
    return 1 if count and not options.set_aside else 0


def _thumbnails(store: SliceStore, options: argparse.Namespace) -> int:
    from monai_ext.data.store.contact_sheet import draw_contact_sheets

    folder = Path(options.output or f"{store.path.name}_thumbnails")
    sheets = draw_contact_sheets(store, folder, series_a_sheet=options.series_a_sheet, window=options.window)
    with progress_bar(
        -(-len(store.series_ids) // max(1, options.series_a_sheet)), doing="Drawing", unit=" sheets"
    ) as bar:
        for sheet in sheets:
            bar.update()
            tqdm.write(str(sheet), file=sys.stdout)
    return 0


def _privacy_report(store: SliceStore, options: argparse.Namespace) -> int:
    from monai_ext.data.store.privacy_report import make_privacy_report, render_privacy_report

    report = make_privacy_report(store)
    sys.stdout.write((json.dumps(report, indent=2) if options.json else render_privacy_report(report)) + "\n")
    return 0
