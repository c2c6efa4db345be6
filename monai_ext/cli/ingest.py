"""``python -m monai_ext ingest``: turn a folder of DICOM, volumes or pictures into a slice store.

Run it again to continue after an interruption or to add what is new; what is stored is not read again.
Ids are hashes with a secret key, made on first use (~/.config/monai_ext/pseudonym.key): keep it, to yourself.
A filter is a JSON file such as
  {"body_part": ["CHEST"], "slice_thickness_mm": [0.5, 3], "kernel": ["B30f", "STANDARD"], "least_slices": 20}

Example:
  python -m monai_ext ingest /data/pacs_export /data/ct_store --workers 4
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from monai_ext.cli._parser import command_parser
from monai_ext.foreign_text import printable

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    from monai_ext.data.ingestion.ingest import IngestFilter, IngestOptions, ingest, list_skipped

    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("monai_ext").setLevel(logging.INFO)
    if options.list_skipped:
        for name, reason, detail in list_skipped(options.source, options.store, key_file=options.key):
            sys.stdout.write(f"{printable(name)}\t{reason.value}\t{detail or reason.sentence}\n")
        return 0
    wanted = IngestFilter.load(options.filter) if options.filter else IngestFilter()
    report = ingest(
        options.source,
        options.store,
        options=IngestOptions(
            wanted=wanted,
            in_plane=options.in_plane,
            patient_by=options.patient_by,
            site=options.site,
            deface=options.deface,
            largest_part_bytes=options.largest_series_mib * 2**20,
            file_timeout_s=options.file_timeout,
        ),
        source_kind=options.kind,
        workers=options.workers,
        key_file=options.key,
        retry_failed=options.retry_failed,
    )
    sys.stdout.write((report.to_json() if options.json else report.to_table()) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("ingest", __doc__)
    add = parser.add_argument
    add("source", metavar="SOURCE", help="folder, nested as it comes")
    add("store", metavar="STORE", help="folder of the slice store; STORE.ingest beside it keeps ledger and report")
    add("--filter", metavar="FILE", help="JSON file that says which series are wanted")
    add("--in-plane", type=int, metavar="N", help="make slices smaller, N pixels on the shorter side (antialiased)")
    add("--kind", choices=("ct", "mr", "picture"), help="what to store; found out when omitted")
    add("--workers", type=_positive, metavar="N", help="processes that read; one a processor when omitted")
    add("--key", metavar="FILE", help="secret key of the pseudonyms")
    add(
        "--patient-by",
        default="auto",
        metavar="HOW",
        help="auto (PatientID; for volumes and pictures, every file is a patient), study, folder (the first one below"
        " SOURCE), file, or name:REGEX whose group names the patient in the file's path",
    )
    add("--deface", action="store_true", help="take the face out of CT of the head; what may show one else is skipped")
    add("--site", metavar="CODE", help="code of the hospital or scanner, kept with every slice")
    add("--file-timeout", type=float, default=120.0, metavar="S", help="processor time that a file may take (120 s)")
    add("--largest-series-mib", type=_positive, default=512, metavar="MIB", help="memory for one series (512)")
    add("--retry-failed", action="store_true", help="read files again that crashed or took too long before")
    add("--list-skipped", action="store_true", help="only name the files that were not stored, and why")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number
