"""Pictures of a classification's result, as PNG: confusion matrix, ROC, precision and recall, reliability."""

from __future__ import annotations

from collections.abc import Iterator
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
_FURTHER = (":", "-.")
_CHANCE: dict[str, Any] = {"color": "0.6", "linestyle": "--", "linewidth": 1}


def write_confusion_matrix(evaluation: ClassificationEvaluation, path: Target) -> None:
    """Numbers of images by true class (rows) and likeliest class (columns), coloured by the part of the row.

    Args:
        evaluation: what to show.
        path: of the PNG file, or a binary file that is open.
    """
    counts, names = evaluation.confusion, evaluation.predictions.class_names
    side = max(4.0, 1.6 + 0.55 * len(names))
    figure, axes = _figure(side + 0.8, side)
    shares = counts / counts.sum(axis=1, keepdims=True)
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 3 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted (likeliest) class", ylabel="true class")
    axes.set_title(f"accuracy {evaluation.metrics['accuracy']}", fontsize=9)
    figure.colorbar(shown, ax=axes, label="part of the true class", fraction=0.046)
    _save(figure, path)


def write_roc(evaluation: ClassificationEvaluation, path: Target) -> None:
    """Sensitivity against the false positive rate over all thresholds, with the AUC; arguments as above."""
    from sklearn.metrics import roc_curve

    figure, axes = _figure(5.2, 5)
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

    figure, axes = _figure(5.2, 5)
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
    figure, (axes, below) = _figures(5.2, 6.2)
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


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    return figure, figure.add_subplot()


def _figures(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    return figure, figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])


def _save(figure: Figure, path: Target) -> None:
    """A figure without pyplot draws with Agg: nothing global, no display."""
    figure.savefig(path, format="png")
