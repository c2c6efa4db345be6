"""How well a linear classifier tells the classes apart from each layer's features."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from monai_ext.metrics.class_predictions import check_predictions
from monai_ext.study.layers.images import JudgedImages
from monai_ext.study.protocols.probe import fit_probe
from monai_ext.study.statistics import Arm, resamples_for, score_cell

__all__ = ["probe_layers"]


def probe_layers(
    features: Mapping[str, np.ndarray], judged: JudgedImages, *, progress: Callable[[int], object] = lambda count: None
) -> dict[str, Arm]:
    """Linear probes (Alain and Bengio 2017, "Understanding intermediate layers using linear classifier probes").

    The study's probe: standardised features, logistic regression, its strength chosen on validation. In each fold it is
    fitted on patients that are neither those it is chosen on nor those it is judged on. A layer of few channels,
    averaged over the image, can tell less than its whole map would.

    Args:
        features: (N, D) by layer.
        judged: the images.
        progress: called with 1 after every layer.

    Returns:
        By layer, one scored cell a fold.
    """
    return {name: _scored(values, judged, progress) for name, values in features.items()}


def _scored(values: np.ndarray, judged: JudgedImages, progress: Callable[[int], object]) -> Arm:
    cells = []
    two = len(judged.class_names) == 2
    for number, (training, validation, test) in enumerate(judged.folds):
        probe = fit_probe(values[training], judged.labels[training], values[validation], judged.labels[validation])
        predictions = check_predictions(
            probe.probabilities(values[test]),
            judged.labels[test],
            class_names=judged.class_names,
            positive_class=judged.class_names[-1] if two else None,
            groups=[judged.groups[place] for place in test],
        )
        name = f"fold {number}"
        weights = resamples_for(predictions, test_set=name)
        cells.append(score_cell(predictions, weights, fold=number, repeat=(0, 0), n_train=len(training), test_set=name))
    progress(1)
    return Arm(tuple(cells))
