"""Pictures of a classification's result, as PNG: confusion matrix, ROC, precision and recall, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from monai_ext.metrics.calibration_error import BINS, calibration_bins
from monai_ext.metrics.classification import ClassificationEvaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["write_confusion_matrix", "write_precision_recall", "write_reliability", "write_roc"]

Target = str | Path | BinaryIO
_DPI = 120
_UPRIGHT = 3
"""Up to so many classes have their names written from left to right below a matrix."""
_LETTER = 0.085
"""Inches of a letter, about."""
_WIDTH = 5.2
_MARGINS = {"left": 0.13, "right": 0.97, "bottom": 0.1, "top": 0.92, "hspace": 0.09}
_FURTHER = (":", "-.")
_CHANCE: dict[str, Any] = {"color": "0.6", "linestyle": "--", "linewidth": 1}


def write_confusion_matrix(evaluation: ClassificationEvaluation, path: Target) -> None:
    """Numbers of images by true class (rows) and likeliest class (columns), coloured by the part of the row.

    Args:
        evaluation: what to show.
        path: of the PNG file, or a binary file that is open.
    """
    counts, names = evaluation.confusion, evaluation.predictions.class_names
    figure, axes, beside = _matrix(names)
    shares = counts / counts.sum(axis=1, keepdims=True)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > _UPRIGHT else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted (likeliest) class", ylabel="true class")
    axes.set_title(f"accuracy {evaluation.metrics['accuracy']}", fontsize=9)
    figure.colorbar(shown, cax=beside, label="part of the true class")
    _save(figure, path)


def write_roc(evaluation: ClassificationEvaluation, path: Target) -> None:
    """Sensitivity against the false positive rate over all thresholds, with the AUC; arguments as above."""
    from sklearn.metrics import roc_curve

    figure, axes = _curves(5)
    for truth, share, label in _one_against_rest(evaluation, "auc", "AUC"):
        false_alarm, sensitivity, _ = roc_curve(truth, share, drop_intermediate=False)
        axes.plot(false_alarm, sensitivity, label=label)
    axes.plot([0, 1], [0, 1], **_CHANCE, label="chance")
    chosen = evaluation.metrics.get("sensitivity"), evaluation.metrics.get("specificity")
    if chosen[0] and chosen[1]:
        threshold = evaluation.predictions.threshold
        label = "likelier class" if threshold is None else f"threshold {threshold:.3f}"
        axes.plot(1 - chosen[1].value, chosen[0].value, "o", color="black", label=label)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    _finish_square(axes, evaluation, legend="lower right")
    _save(figure, path)


def write_precision_recall(evaluation: ClassificationEvaluation, path: Target) -> None:
    """Precision against recall over all thresholds, with the average precision; arguments as above.

    The dashed line is the part of the images that are positive, the precision of guessing.
    """
    from sklearn.metrics import precision_recall_curve

    figure, axes = _curves(5)
    for truth, share, label in _one_against_rest(evaluation, "average_precision", "average precision"):
        precision, recall, _ = precision_recall_curve(truth, share)
        axes.step(recall, precision, where="post", label=label)
        if evaluation.predictions.positive is not None:
            axes.axhline(truth.mean(), **_CHANCE, label="chance")
    axes.set(xlabel="recall (sensitivity)", ylabel="precision")
    _finish_square(axes, evaluation, legend="lower left")
    _save(figure, path)


def write_reliability(evaluation: ClassificationEvaluation, path: Target) -> None:
    """Observed frequency against mean probability by bin, with the numbers of images below; arguments as above.

    Bars are 95 % Wilson intervals of the frequency, which take the images for independent.
    """
    bins = calibration_bins(evaluation.predictions)
    counts = bins.members.sum(axis=0)
    used = counts > 0
    stated = (bins.stated @ bins.members)[used] / counts[used]
    happened = (bins.happened @ bins.members)[used] / counts[used]
    figure, (axes, below) = _curves(6.2, nrows=2, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], **_CHANCE, label="perfect")
    low, high = _wilson(happened, counts[used])
    axes.errorbar(stated, happened, yerr=[happened - low, high - happened], fmt="o-", capsize=3, markersize=4)
    axes.set(ylabel="observed frequency", xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.set_title(_reliability_title(evaluation), fontsize=9)
    below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color="0.6")
    below.set(ylabel="images", xlim=(0, 1), xlabel=_stated_name(evaluation))
    _save(figure, path)


def _one_against_rest(
    evaluation: ClassificationEvaluation, metric: str, title: str
) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    judged = evaluation.predictions
    for k in judged.scored:
        estimate = evaluation.per_class[k][metric]
        shown = estimate if len(judged.scored) == 1 else f"{estimate.value:.3f}"
        yield judged.labels == k, judged.probabilities[:, k], f"{judged.class_names[k]}: {title} {shown}"


def _finish_square(axes: Axes, evaluation: ClassificationEvaluation, *, legend: Any) -> None:
    judged = evaluation.predictions
    if len(judged.scored) > 10:  # as many colours as matplotlib's cycle has
        for number, line in enumerate(axes.lines[10 : len(judged.scored)]):
            line.set(linestyle=_FURTHER[number // 10 % len(_FURTHER)])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    groups = int(judged.groups.max()) + 1
    axes.set_title(f"{len(judged.labels)} images of {groups} groups, 95 % intervals over groups", fontsize=9)
    axes.legend(loc=legend, fontsize=7)
    axes.grid(alpha=0.3)


def _stated_name(evaluation: ClassificationEvaluation) -> str:
    judged = evaluation.predictions
    if judged.positive is None:
        return "mean probability of the likeliest class"
    return f"mean probability of {judged.class_names[judged.positive]}"


def _reliability_title(evaluation: ClassificationEvaluation) -> str:
    metrics = evaluation.metrics
    return f"calibration error {metrics['calibration_error']}\nBrier score {metrics['brier_score']}"


def _wilson(share: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a frequency (Wilson 1927)."""
    z = 1.959964
    middle = (share + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = z / (1 + z**2 / counts) * np.sqrt(share * (1 - share) / counts + z**2 / (4 * counts**2))
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def _matrix(names: Sequence[str]) -> tuple[Figure, Axes, Axes]:
    """A figure with a square for a matrix, a bar for its colours, and room in inches for the names of its classes."""
    from matplotlib.figure import Figure

    side, longest = max(3.2, 0.55 * len(names)), _LETTER * max(map(len, names))
    left, below = 0.6 + longest, 0.6 + (longest if len(names) > _UPRIGHT else 0.1)
    width, height = left + side + 1.1, below + side + 0.4
    figure = Figure(figsize=(width, height), dpi=_DPI)
    square = (left / width, below / height, side / width, side / height)
    bar = ((left + side + 0.15) / width, below / height, 0.16 / width, side / height)
    return figure, figure.add_axes(square), figure.add_axes(bar)


def _curves(height: float, **rows: Any) -> tuple[Figure, Any]:
    """A figure whose margins are known: a layout that measures its texts takes as long as drawing it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    figure.subplots_adjust(**_MARGINS)
    return figure, figure.subplots(**rows)


def _save(figure: Figure, path: Target) -> None:
    """A figure without pyplot draws with Agg: nothing global, no display."""
    figure.savefig(path, format="png")
