"""``python -m monai_ext splits``: make splits by patient, show them, and check that they fit their data.

A split is a file, made once, by patient and stratified, with nested reductions of the training labels.

Example:
  python -m monai_ext splits make /data/labelled/labels.csv --folds 5 --output splits.json
  python -m monai_ext splits show splits.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from monai_ext.cli._parser import command_parser
from monai_ext.data.segmented.mask_files import has_masks
from monai_ext.data.segmented.masked_data import open_masked
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.data.splits.splits import Splits, load_splits, read_splits

__all__ = ["main"]

_PATIENT = "patient_id"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a ``splits`` command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("splits", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = commands.add_parser(
        "make", help="make splits and write them to a file", description="Make splits and write them to a file."
    )
    make.set_defaults(run=_make)
    _add_source(make)
    make.add_argument("--output", default="splits.json", help="file to write; never replaced (splits.json)")
    make.add_argument("--official", action="store_true", help="the published split instead of a new one")
    make.add_argument("--test", type=float, default=0.0, metavar="FRACTION", help="part for test")
    make.add_argument(
        "--validation",
        type=float,
        default=0.0,
        metavar="FRACTION",
        help="part for validation; of training with --official",
    )
    make.add_argument("--folds", type=int, metavar="K", help="K folds of what is not test, instead of --validation")
    make.add_argument("--test-each-fold", action="store_true", help="every fold tests on another K-th")
    make.add_argument("--seed", type=int, default=0, help="chooses the sections (0)")
    make.add_argument("--reduce-fractions", type=float, nargs="+", default=[], metavar="F", help="e.g. 0.1 0.25 0.5")
    make.add_argument("--reduce-per-class", type=int, nargs="+", default=[], metavar="N", help="e.g. 30 60")
    make.add_argument("--reduction-seed", type=int, help="chooses the reductions' items (as --seed)")
    make.add_argument("--near-duplicates", metavar="CSV", help="table whose first two columns name similar items")
    check = commands.add_parser(
        "check",
        help="refuse splits that do not fit their data",
        description="Refuse splits that do not fit their data.",
    )
    check.set_defaults(run=_check)
    check.add_argument("splits", metavar="SPLITS", help="file made by `splits make`")
    _add_source(check)
    show = commands.add_parser(
        "show", help="items a class in every section", description="Items a class in every section."
    )
    show.set_defaults(run=_show)
    show.add_argument("splits", metavar="SPLITS", help="file made by `splits make`")
    return parser


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source", metavar="SOURCE", help="labels table (.csv), slice store, MedMNIST file, or images with masks"
    )
    command.add_argument("--id-column", default="file", help="column of the pictures' paths (file)")
    command.add_argument("--label-column", default="label", help="column of the class (label)")
    command.add_argument("--group-column", default=_PATIENT, help="column of patient or volume (patient_id)")
    command.add_argument("--ungrouped", action="store_true", help="every item is of another patient")
    command.add_argument("--site-column", help="column of the hospital or scanner, to stratify by it too")
    command.add_argument("--split-column", default="split", help="column of the published split (split)")
    command.add_argument("--mask-classes", type=int, default=2, metavar="K", help="classes of masks (2)")
    command.add_argument("--mask-values", type=json.loads, metavar="JSON", help='of each class, such as "[0,[1,2]]"')


def _open(options: argparse.Namespace) -> SplitSource:
    if has_masks(options.source):
        return _open_masked(options)
    return open_split_source(
        options.source,
        id_column=options.id_column,
        label_column=options.label_column,
        group_column=None if options.ungrouped else options.group_column,
        site_column=options.site_column,
        split_column=options.split_column,
    )


def _open_masked(options: argparse.Namespace) -> SplitSource:
    """Images with masks, which are stratified by whether anything is marked in them."""
    columns: dict[str, str | None] = {"file": options.id_column, "split": options.split_column}
    if options.ungrouped:
        columns["group"] = None
    elif options.group_column != _PATIENT:
        columns["group"] = options.group_column
    classes = ["background", *(f"class {number}" for number in range(1, options.mask_classes))]
    return open_masked(options.source, class_names=classes, mask_values=options.mask_values, columns=columns).items


def _make(options: argparse.Namespace) -> int:
    from monai_ext.data.splits.making import make_splits, official_splits, read_near_duplicates

    source = _open(options)
    pairs = read_near_duplicates(options.near_duplicates, source) if options.near_duplicates else []
    reductions = {"reduce_fractions": options.reduce_fractions, "reduce_per_class": options.reduce_per_class}
    if options.official:
        seed = options.seed if options.reduction_seed is None else options.reduction_seed
        splits = official_splits(
            source,
            **reductions,
            reduction_seed=seed,
            near_duplicates=pairs,
            validation_fraction=options.validation,
            seed=options.seed,
        )
    else:
        splits = make_splits(
            source,
            test_fraction=options.test,
            validation_fraction=options.validation,
            folds=options.folds,
            test_each_fold=options.test_each_fold,
            seed=options.seed,
            reduction_seed=options.reduction_seed,
            near_duplicates=pairs,
            **reductions,
        )
    splits.save(options.output)
    sys.stdout.write(f"{_table(splits)}\nWritten to {Path(options.output)}.\n")
    return 0


def _check(options: argparse.Namespace) -> int:
    source = _open(options)
    splits = read_splits(options.splits, source)
    sys.stdout.write(
        f"{options.splits} fits {source.name}: {len(splits.folds)} fold(s) of {len(source.ids)} items, no"
        f" {source.grouped_by} in two sections, reductions nested.\n"
    )
    return 0


def _show(options: argparse.Namespace) -> int:
    sys.stdout.write(_table(load_splits(options.splits)) + "\n")
    return 0


def _table(splits: Splits) -> str:
    """Items a class, one line a section, and what is to be told beside every result."""
    about = splits.source
    lines = [f"{about['name']}: {about['items']} items in {about['groups']} groups (by {about['grouped_by']})"]
    lines.append(", ".join(f"{name}: {value}" for name, value in splits.made.items() if value is not None))
    for number, (fold, counts) in enumerate(zip(splits.folds, splits.counts, strict=True)):
        for section, classes in counts.items():
            listed = ", ".join(f"{count} of class {label!r}" for label, count in classes.items()) or "nothing"
            lines.append(f"fold {number}  {section:14s} {sum(classes.values()):7d}  {listed}")
        for section, items in fold.near_duplicates.items():
            lines.append(
                f"fold {number}  {len(items)} items of {section} have a near duplicate in an earlier section:"
                " report results with and without them."
            )
    return "\n".join(lines)
