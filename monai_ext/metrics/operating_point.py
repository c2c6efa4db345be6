"""From a probability to a decision: the threshold from which on an image is called positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ext.metrics.class_predictions import check_predictions

__all__ = ["choose_threshold"]


def choose_threshold(
    probabilities: Any, labels: Any, *, positive_class: int | str, class_names: Sequence[str] = ("0", "1")
) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden 1950, "Index for rating diagnostic tests").

    Choose it on validation, never on the data that sensitivity and specificity are told of. It lies midway between two
    neighbouring probabilities; of several that are equally good, the one nearest to 0.5 is taken.

    Args:
        probabilities: (N, 2).
        labels: (N,) 0 or 1.
        positive_class: its position, or its name among ``class_names``.
        class_names: of the two classes, in order.

    Raises:
        ValueError: as :func:`~monai_ext.metrics.evaluate_classification`.

    >>> choose_threshold([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9]], [0, 0, 1, 1], positive_class=1)
    0.4
    """
    from sklearn.metrics import roc_curve

    if isinstance(positive_class, int):
        positive_class = dict(enumerate(class_names)).get(positive_class, str(positive_class))
    checked = check_predictions(probabilities, labels, class_names=class_names, positive_class=positive_class)
    share = checked.probabilities[:, checked.positive]
    false_alarm, sensitivity, called_from = roc_curve(
        checked.labels == checked.positive, share, drop_intermediate=False
    )
    youden = (sensitivity - false_alarm)[1:]  # without the first point, at which nothing is called positive
    midway = (called_from[1:] + np.append(called_from[2:], 0.0)) / 2
    best = midway[np.isclose(youden, youden.max(), atol=1e-12)]
    return float(best[np.abs(best - 0.5).argmin()])
