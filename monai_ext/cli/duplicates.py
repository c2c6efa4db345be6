"""``python -m monai_ext duplicates``: find pictures that are nearly the same, before data are split.

Every picture is compared with every other; pairs that are the same picture at another size, margin or compression are
listed in a table that `splits make --near-duplicates` reads, so that twins end up on the same side of a split.

Example:
  python -m monai_ext duplicates /data/labelled/labels.csv --output near_duplicates.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import progress_bar

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    from monai_ext.checks.near_duplicate_table import list_near_duplicates

    with progress_bar(None, doing="Comparing", unit=" steps") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done)

        found = list_near_duplicates(
            options.data,
            columns={"group": options.group_column} if options.group_column else None,
            splits=options.splits,
            fold=options.fold,
            across_groups=options.across_groups,
            least_peak=options.peak,
            least_similarity=options.similarity,
            progress=progress,
        )
    found.save(options.output)
    sys.stdout.write(f"{len(found.items.ids)} items of {found.items.name} were compared.\n")
    for name, count in found.counts().items():
        sys.stdout.write(f"{count:6d}  {name}\n")
    if options.compare:
        numbers = found.agreement(options.compare)
        sys.stdout.write(
            f"{options.compare} lists {numbers['listed']} pairs; {numbers['both']} of them were found"
            f" ({numbers['both'] / max(1, numbers['listed']):.0%}), which is"
            f" {numbers['both'] / max(1, numbers['found']):.0%} of what was found.\n"
        )
    sys.stdout.write(
        f"Written to {options.output}. Look at some of the pairs, then keep them together with `splits make"
        f" --near-duplicates {options.output}`.\n"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("duplicates", __doc__)
    parser.add_argument("data", metavar="DATA", help="labels table, folder of pictures, slice store, MedMNIST file")
    parser.add_argument("--output", default="near_duplicates.csv", help="table to write (near_duplicates.csv)")
    parser.add_argument("--across-groups", action="store_true", help="leave out pairs of one patient")
    parser.add_argument("--group-column", help="column of the patient (patient_id)")
    parser.add_argument("--splits", help="file by `splits make`, to tell which pairs cross its sections")
    parser.add_argument("--fold", type=int, default=0, help="fold of --splits (0)")
    parser.add_argument("--peak", type=float, default=0.2, help="least peak of the phase correlation (0.2)")
    parser.add_argument("--similarity", type=float, default=0.4, help="least correlation of the aligned detail (0.4)")
    parser.add_argument("--compare", metavar="CSV", help="another list of pairs, to tell how far both agree")
    return parser
