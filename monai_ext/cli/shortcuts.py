"""``python -m monai_ext shortcuts``: what trivial predictors reach on a split, which a classifier has to beat.

Brightness, size and the majority class need no network. What they reach is what labels leak: a classifier that is not
better has learnt nothing else.

Example:
  python -m monai_ext shortcuts /data/labelled/labels.csv splits.json --output shortcuts
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.cli._columns import add_column_options, chosen_columns
from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import progress_bar

if TYPE_CHECKING:
    from monai_ext.checks.shortcuts import Shortcut

__all__ = ["main"]

_SHOWN = ("auc", "average_precision", "accuracy", "balanced_accuracy", "macro_f1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    from monai_ext.checks.shortcuts import measure_shortcuts

    with progress_bar(None, doing="Reading", unit=" images") as bar:
        results = measure_shortcuts(
            options.data,
            splits=None if options.splits == "official" else options.splits,
            positive_class=options.positive_class,
            columns=chosen_columns(options),
            window=options.window,
            n_bootstrap=options.resamples,
            seed=options.seed,
            read=bar.update,
        )
    _write(results, Path(options.output).expanduser())
    sys.stdout.write(f"{_as_text(results)}\nWritten to {options.output}.csv and {options.output}.json.\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("shortcuts", __doc__)
    parser.add_argument("data", metavar="DATA", help="labels table, folder of classes, slice store, or MedMNIST file")
    parser.add_argument("splits", metavar="SPLITS", help="file by `splits make`, or the word official")
    parser.add_argument("--output", default="shortcuts", metavar="NAME", help="NAME.csv and NAME.json (shortcuts)")
    parser.add_argument("--positive-class", metavar="CLASS", help="of two classes, the one that is looked for")
    add_column_options(parser)
    parser.add_argument("--window", default="full", help="which Hounsfield units to look at, for slice stores (full)")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="for the intervals (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (0)")
    return parser


def _write(results: Sequence[Shortcut], output: Path) -> None:
    from monai_ext.files import write_atomically
    from monai_ext.foreign_text import csv_text

    header = ["predictor", "fitted_on", "judged_on", "images", "metric", "value", "low", "high"]
    rows: list[list[object]] = []
    content = []
    for result in results:
        about = {"predictor": result.name, "fitted_on": result.fitted_on, "judged_on": result.judged_on}
        content.append(about | result.evaluation.to_json())
        judged = {"all": result.evaluation, "without near duplicates": result.without_near_duplicates}
        for images, evaluation in judged.items():
            if evaluation is None:
                continue
            if evaluation is result.without_near_duplicates:
                content[-1]["without_near_duplicates"] = evaluation.to_json()
            for name, estimate in evaluation.metrics.items():
                rows.append([*about.values(), images, name, estimate.value, estimate.low, estimate.high])
    output.parent.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".csv", csv_text(header, rows)), (".json", json.dumps(content, indent=2) + "\n")):
        write_atomically(output.with_name(output.name + suffix), lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]


def _as_text(results: Sequence[Shortcut]) -> str:
    first = results[0]
    judged = first.evaluation.predictions
    lines = [
        f"Fitted on {first.fitted_on}, judged on {first.judged_on}: {len(judged.labels)} images of"
        f" {judged.groups.max() + 1} groups, 95 % intervals over groups."
    ]
    if judged.positive is not None:
        lines.append(
            f"The positive class is {judged.class_names[judged.positive]!r} (another one with --positive-class)."
        )
    lines.append(f"{'':28s}" + "".join(f"{name:25s}" for name in _SHOWN))
    for result in results:
        lines.append(f"{result.name:28s}" + "".join(f"{result.evaluation.metrics[name]!s:25s}" for name in _SHOWN))
    if first.without_near_duplicates is not None:
        left = len(first.without_near_duplicates.predictions.labels)
        lines.append(f"Without images that resemble one that was fitted on, {left} images:")
        for result in results:
            rest = result.without_near_duplicates
            if rest is not None:
                lines.append(f"{result.name:28s}" + "".join(f"{rest.metrics[name]!s:25s}" for name in _SHOWN))
    return "\n".join(lines)
