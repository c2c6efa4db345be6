"""``python -m monai_ext pool``: judge the folds of a cross-validation together, each image by its own fold's model.

Each image of a cross-validation has one prediction, by the model that did not train on it; the metrics are of all of
them together, with intervals over patients.

Example:
  python -m monai_ext pool bundles/covid19_classification/eval/fold_* --output pooled
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_ext.cli._parser import command_parser
from monai_ext.files import read_json
from monai_ext.foreign_text import plain_cell

__all__ = ["main", "pool"]

_SHARE = "probability_"
_PSEUDONYM = re.compile("[0-9a-f]{16}|[0-9a-f]{32}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Put the predictions of several evaluations together and write the metrics of all images, with intervals.

    Sensitivity and specificity are those of the likelier class, since each fold's threshold is another.
    """
    parser = command_parser("pool", __doc__)
    parser.add_argument("evaluations", nargs="+", metavar="FOLDER", help="what evaluate.json wrote, one for each fold")
    parser.add_argument("--output", default="pooled", metavar="FOLDER", help="where to write (pooled)")
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="for the intervals (2000)")
    options = parser.parse_args(arguments)
    metrics = pool(options.evaluations, output_dir=options.output, n_bootstrap=options.resamples)
    sys.stdout.write("".join(f"{name:18s} {estimate}\n" for name, estimate in metrics.items()))
    sys.stdout.write(f"Written to {options.output}.\n")
    return 0


def pool(folders: Sequence[str], *, output_dir: str, n_bootstrap: int = 2000) -> dict[str, str]:
    """Write the files of a classification result for all images of several evaluations.

    Args:
        folders: of evaluations on images that are in one of them only.
        output_dir: folder of the files.
        n_bootstrap: resamples of the patients.

    Returns:
        Metrics by name, as text with intervals.

    Raises:
        ValueError: a folder is no evaluation, or they have other classes.
    """
    from monai_ext.handlers.classification_files import write_classification_files
    from monai_ext.metrics import evaluate_classification

    classes, positive = _classes(folders[0])
    shares, labels, groups, evaluated = [], [], [], []
    for folder in folders:
        if _classes(folder) != (classes, positive):
            raise ValueError(f"{folder} and {folders[0]} have other classes, and cannot be judged together.")
        for row in _rows(folder):
            shares.append([float(row[_SHARE + name]) for name in classes])
            labels.append(classes.index(row["label"]))
            groups.append(row.get("group") or f"{folder} {row['index']}")
            evaluated.append(folder)
    _refuse_unlike_pseudonyms(groups)
    evaluation = evaluate_classification(
        np.array(shares), np.array(labels), class_names=classes, positive_class=positive, groups=groups,
        n_bootstrap=n_bootstrap,
    )  # fmt: skip
    columns = {"evaluation": evaluated, "group": groups}
    write_classification_files(
        Path(output_dir), evaluation, columns=columns, details={"evaluations": list(map(str, folders))}
    )
    return {name: str(estimate) for name, estimate in evaluation.metrics.items()}


def _classes(folder: str) -> tuple[list[str], str | None]:
    try:
        content = read_json(Path(folder) / "metrics.json")
        return list(content["class_names"]), content["positive_class"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{folder} is no folder that evaluate.json wrote: its metrics.json cannot be read ({error})."
        ) from error


def _refuse_unlike_pseudonyms(groups: Sequence[str]) -> None:
    """Pseudonyms of older versions had half the length: a patient who has one of each would be two."""
    lengths = {len(group) for group in groups if _PSEUDONYM.fullmatch(group)}
    if len(lengths) > 1:
        raise ValueError(
            "The evaluations name patients by different kinds of pseudonyms: some were made by an older version of this"
            " program, without a key. One patient would count as two; evaluate the older ones again."
        )


def _rows(folder: str) -> list[dict[str, str]]:
    try:
        with (Path(folder) / "predictions.csv").open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            return [{name: plain_cell(cell or "") for name, cell in row.items() if name} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The predictions in {folder} cannot be read: {error}.") from error
