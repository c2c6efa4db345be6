"""Classes guessed from the nearest neighbours, none of them from the same patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from monai_ext.metrics.feature_std import checked_features

__all__ = ["check_neighbours", "knn_accuracies", "knn_predictions"]


def knn_predictions(
    features: Tensor,
    labels: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    *,
    k: int = 20,
    temperature: float | None = 0.07,
) -> Tensor:
    """For every image the class that its k nearest neighbours vote for, those of its own group left out.

    Nearest is by cosine. A neighbour's vote weighs exp(cosine / temperature), as in Wu et al. 2018, "Unsupervised
    Feature Learning via Non-Parametric Instance Discrimination", section 3.4, or 1 when ``temperature`` is None.
    Nothing is trained, so this shows what the features themselves tell. Leaving out the image's own group (patient,
    near duplicates) keeps it from being recognised instead of classified. Equal votes go to the lower class.

    Args:
        features: (N, D), one row an image.
        labels: class of every image, 0 or above.
        groups: group of every image; None for images that stand for themselves.
        k: number of neighbours.
        temperature: of the votes' weights, above 0; None for equal weights.

    Returns:
        (N,) predicted classes, int64.

    Raises:
        ValueError: lengths or numbers do not fit, an image has fewer than k neighbours outside its group, or a class is
            all in one group.

    >>> points = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> knn_predictions(points, [0, 0, 1, 1], k=1).tolist()
    [0, 0, 1, 1]
    >>> knn_predictions(points, [0, 1, 0, 1], groups=["a", "a", "b", "b"], k=1).tolist()
    [1, 1, 1, 1]
    """
    directions = normalize(checked_features(features), dim=1)
    groups = range(len(labels)) if groups is None else groups
    if not len(directions) == len(labels) == len(groups):
        raise ValueError(
            f"Every image needs a class and a group: received {len(directions)} features, {len(labels)} classes and"
            f" {len(groups)} groups."
        )
    check_neighbours(labels, groups, k=k, temperature=temperature)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    own = torch.tensor([numbers[group] for group in groups])
    cosines = directions @ directions.T
    cosines[own[:, None] == own[None]] = -torch.inf
    nearest, places = cosines.sort(dim=1, descending=True, stable=True)
    nearest, places = nearest[:, :k], places[:, :k]
    weights = torch.ones_like(nearest) if temperature is None else (nearest / temperature).exp()
    votes = one_hot(torch.as_tensor(labels))[places] * weights[..., None]
    return votes.sum(dim=1).argmax(dim=1)


def knn_accuracies(
    features: Tensor,
    labels: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    *,
    k: int = 20,
    temperature: float | None = 0.07,
) -> tuple[float, float]:
    """Accuracy of :func:`knn_predictions`, and balanced accuracy, the mean of the classes' recalls.

    Args and errors are those of :func:`knn_predictions`.

    >>> knn_accuracies(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), [0, 0, 1, 1], k=1)
    (1.0, 1.0)
    """
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    guesses = knn_predictions(features, labels, groups, k=k, temperature=temperature).numpy()
    return float(accuracy_score(labels, guesses)), float(balanced_accuracy_score(labels, guesses))


def check_neighbours(
    labels: Sequence[int], groups: Sequence[Hashable], *, k: int, temperature: float | None = 0.07
) -> None:
    """Make sure that every image can have k neighbours, and every class can be guessed.

    Raises:
        ValueError: as :func:`knn_predictions` says.
    """
    if k < 1 or (temperature is not None and temperature <= 0):
        raise ValueError(f"k is at least 1 and the temperature is above 0; received k={k}, temperature={temperature}.")
    if not len(labels) or min(labels) < 0:
        raise ValueError("Classes are numbers from 0 for at least one image.")
    ((_, size),) = Counter(groups).most_common(1)
    if len(labels) - size < k:
        raise ValueError(
            f"k={k} nearest neighbours of other groups do not exist for every image: of {len(labels)} images, {size}"
            f" are in one group. Lower k to at most {len(labels) - size}, or give more images."
        )
    groups_of: dict[int, set[Hashable]] = {}
    for label, group in zip(labels, groups, strict=True):
        groups_of.setdefault(int(label), set()).add(group)
    alone = sorted(label for label, members in groups_of.items() if len(members) < 2)
    if alone:
        raise ValueError(
            f"Class {alone[0]} has images of one group only, and its own group is left out: it could never be guessed."
            " Every class needs images of at least two groups (patients)."
        )
