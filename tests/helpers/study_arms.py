"""Arms of a study with known truth: scores drawn from two normal distributions."""

import numpy as np

from monai_ext.metrics.class_predictions import check_predictions
from monai_ext.study.statistics import Arm, resamples_for, score_cell


def predictions_of(labels, separation, *, groups=None, seed=0):
    """Two-class predictions whose AUC is that of normal scores ``separation`` apart."""
    labels = np.asarray(labels)
    raw = np.random.default_rng(seed).normal(size=len(labels)) + separation * labels
    share = 1 / (1 + np.exp(-raw + separation / 2))
    return check_predictions(
        np.stack([1 - share, share], axis=1),
        labels,
        class_names=["no", "yes"],
        positive_class="yes",
        groups=groups,
    )


def arm(separations, *, patients=60, seed=0, n_train=100, same_test=False, repeats=1, resamples=200):
    """One arm with a fold for each separation."""
    cells = []
    for fold, separation in enumerate(separations):
        labels = np.arange(patients) % 2
        test_set = "test" if same_test else f"test {fold}"
        for repeat in range(repeats):
            predictions = predictions_of(labels, separation, seed=seed + 100 * fold + 10_000 * repeat)
            weights = resamples_for(predictions, test_set=test_set, count=resamples)
            cells.append(
                score_cell(predictions, weights, fold=fold, repeat=(repeat, 0), n_train=n_train, test_set=test_set)
            )
    return Arm(tuple(cells))
