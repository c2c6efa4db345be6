"""Classes guessed from the nearest training images in feature space, how many being chosen on validation."""

from __future__ import annotations

import numpy as np

from monai_ext.study.cells.cell import Cell
from monai_ext.study.protocols.features import encoder_features
from monai_ext.study.protocols.judging import judged
from monai_ext.study.protocols.probe import chosen_threshold
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["NEIGHBOURS", "compute", "neighbour_votes"]

NEIGHBOURS = (1, 3, 5, 10, 20, 50)
_TEMPERATURE = 0.07


def neighbour_votes(
    training: np.ndarray, labels: np.ndarray, queries: np.ndarray, *, k: int, classes: int
) -> np.ndarray:
    """(N, K) probabilities from the votes of the k nearest training images by cosine.

    A vote weighs exp(cosine / 0.07), see :func:`~monai_ext.metrics.nearest_neighbours.knn_predictions`; one more vote
    is spread over all classes, so that no class is impossible.

    Args:
        training: (M, D) features.
        labels: (M,) classes.
        queries: (N, D) features.
        k: number of neighbours, at most M.
        classes: K.

    >>> points = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> neighbour_votes(points, np.array([0, 1]), np.array([[0.9, 0.1]]), k=1, classes=2).tolist()
    [[0.75, 0.25]]
    """
    cosines = _directions(queries) @ _directions(training).T
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(cosines, nearest, axis=1)
    weights = np.exp((found - found.max(axis=1, keepdims=True)) / _TEMPERATURE)
    votes = np.zeros((len(queries), classes))
    for number in range(classes):
        votes[:, number] = (weights * (labels[nearest] == number)).sum(axis=1)
    shares = votes / votes.sum(axis=1, keepdims=True)
    return np.asarray((k * shares + 1 / classes) / (k + 1))


def compute(cell: Cell, *, task: PreparedTask, folder: StudyFolder, device: str | None) -> tuple[dict, dict]:
    """Results of a k-NN cell."""
    features = encoder_features(cell, task=task, folder=folder, device=device)
    training = task.section(cell.size, fold=cell.fold, subset=cell.subset)
    validation = task.section("validation", fold=cell.fold)

    def guess(places: np.ndarray, k: int) -> np.ndarray:
        return neighbour_votes(
            features[training], task.numbers[training], features[places], k=k, classes=len(task.classes)
        )

    losses = {}
    for k in NEIGHBOURS:
        if k <= len(training):
            shares = guess(validation, k)[np.arange(len(validation)), task.numbers[validation]]
            losses[k] = float(-np.log(shares).mean())
    best = min(losses, key=lambda k: losses[k])
    threshold = chosen_threshold(guess(validation, best), task, validation)
    shares = guess(task.section("test", fold=cell.fold), best)
    chosen = {"neighbours": best, "validation_log_loss": round(losses[best], 6)}
    return judged(shares, cell=cell, task=task, chosen=chosen, threshold=threshold), {}


def _directions(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12))
