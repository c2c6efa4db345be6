"""The study's statistics against known truth: ``python benchmarks/study_statistics.py``.

Coverage of the intervals over patients by number of patients, false positives of the paired test when two methods are
alike, at all labels and at a tenth, and the error of forecasts of known curves. Both learners are nearest-centroid
classifiers that see other features of the same information, trained and tested on folds of the same patients.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from scipy.stats import norm

from monai_ext.metrics.class_predictions import check_predictions
from monai_ext.metrics.classification_scores import resampled_scores
from monai_ext.metrics.group_bootstrap import resample_groups
from monai_ext.study.forecast import LearningCurve, forecast
from monai_ext.study.statistics import corrected_resampled_test
from monai_ext.study.statistics.comparison import resample_folds, resampled_p_value

_FEATURES, _FOLDS, _DISTANCE = 8, 5, 0.35


def coverage(patients: int, *, trials: int, seed: int, images: int = 2) -> float:
    """Part of 95 % intervals that hold the true AUC; images of one patient share half their variance."""
    generator = np.random.default_rng(seed)
    separation = 1.2
    truth = float(norm.cdf(separation / np.sqrt(2)))
    hits = 0
    for trial in range(trials):
        labels = np.repeat(np.arange(patients) % 2, images)
        groups = np.repeat(np.arange(patients), images)
        noise = np.sqrt(0.5) * (generator.normal(size=patients)[groups] + generator.normal(size=len(groups)))
        share = 1 / (1 + np.exp(-(noise + separation * labels)))
        predictions = check_predictions(
            np.stack([1 - share, share], axis=1),
            labels,
            class_names=["no", "yes"],
            positive_class="yes",
            groups=groups.tolist(),
        )
        weights = resample_groups(predictions, count=500, seed=trial).weights
        low, high = np.percentile(resampled_scores(predictions, weights)[0]["auc"], (2.5, 97.5))
        hits += low <= truth <= high
    return hits / trials


def false_positives(fraction: float, *, patients: int, trials: int, seed: int, repeats: int = 1) -> dict[str, float]:
    """Part of trials with p < 0.05 though both methods are alike: by the corrected test with the explicit ratio, with
    1/(k-1), and without correction; by resampling folds and patients; and by resampling patients alone, which takes the
    trained networks as they are.

    The subsets of a fold (``repeats``, where not all labels are used) are averaged, as a study does.
    """
    generator = np.random.default_rng(seed)
    counted = {"explicit ratio": 0, "ratio 1/(k-1)": 0, "no correction": 0}
    counted |= {"folds and patients resampled": 0, "patients resampled": 0}
    for _ in range(trials):
        labels = generator.permutation(np.arange(patients) % 2)
        views = [_view(labels, generator) for _ in range(2)]
        parts = np.array_split(generator.permutation(patients), _FOLDS)
        folds, sizes = [], []
        for part in parts:
            rest, drawn = np.setdiff1d(np.arange(patients), part), []
            for _ in range(repeats if fraction < 1 else 1):
                training = _balanced(rest, labels, fraction, generator)
                first, second = (_correct(view, labels, training, part) for view in views)
                drawn.append(first - second)
            folds.append(np.mean(drawn, axis=0))
            sizes.append((len(part), len(training)))
        n_test, n_train = np.mean(sizes, axis=0)
        ratios = {"explicit ratio": n_test / n_train, "ratio 1/(k-1)": 1 / (_FOLDS - 1), "no correction": 1e-12}
        for name, ratio in ratios.items():
            differences = [float(fold.mean()) for fold in folds]
            counted[name] += corrected_resampled_test(differences, n_test=ratio, n_train=1.0).p_value < 0.05
        drawn = np.stack([_resampled(fold, generator) for fold in folds])
        counted["patients resampled"] += resampled_p_value(drawn.mean(axis=0)) < 0.05
        counted["folds and patients resampled"] += resampled_p_value(resample_folds(drawn)) < 0.05
    return {name: count / trials for name, count in counted.items()}


def forecast_errors(*, trials: int, seed: int, patients: int = 100) -> dict[str, float]:
    """Mean absolute error at twice the largest size, and how often the interval holds the truth, for power laws."""
    generator = np.random.default_rng(seed)
    sizes = np.array([10.0, 20.0, 40.0, 80.0])
    errors, held = [], 0
    for _ in range(trials):
        top, fall, rate = generator.uniform(0.85, 0.98), generator.uniform(0.3, 0.9), generator.uniform(0.3, 1.0)
        spread = 0.35 / np.sqrt(patients)
        shared = spread * generator.normal()
        measured = top - fall * sizes**-rate + shared + 0.3 * spread * generator.normal(size=4)
        draws = measured[:, None] + spread * generator.normal(size=300) + 0.3 * spread * generator.normal(size=(4, 300))
        said = forecast(LearningCurve(sizes, measured, draws), labels=160)
        truth = top - fall * 160.0**-rate
        errors.append(abs(said.value - truth))
        held += said.low <= truth <= said.high
    return {"mean absolute error": float(np.mean(errors)), "interval holds the truth": held / trials}


def _view(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=(len(labels), _FEATURES)) + _DISTANCE * labels[:, None]


def _balanced(rest: np.ndarray, labels: np.ndarray, fraction: float, generator: np.random.Generator) -> np.ndarray:
    chosen = []
    for label in (0, 1):
        members = generator.permutation(rest[labels[rest] == label])
        chosen.append(members[: max(2, round(fraction * len(members)))])
    return np.concatenate(chosen)


def _correct(view: np.ndarray, labels: np.ndarray, training: np.ndarray, test: np.ndarray) -> np.ndarray:
    centers = [view[training[labels[training] == label]].mean(axis=0) for label in (0, 1)]
    near = [((view[test] - center) ** 2).sum(axis=1) for center in centers]
    return ((near[1] < near[0]) == labels[test]).astype(np.float64)


def _resampled(values: np.ndarray, generator: np.random.Generator, count: int = 500) -> np.ndarray:
    """(count,) means over resamples of patients."""
    return np.asarray(values[generator.integers(0, len(values), size=(count, len(values)))].mean(axis=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    settings = {"trials": options.trials, "seed": options.seed}
    results = {
        "coverage by patients": {
            n: coverage(n, trials=options.trials, seed=options.seed) for n in (12, 25, 40, 60, 120)
        },
        "false positives": {
            f"{fraction:.0%} of the labels, {repeats} subset(s)": false_positives(
                fraction, patients=200, trials=options.trials, seed=options.seed, repeats=repeats
            )
            for fraction, repeats in ((1.0, 1), (0.1, 1), (0.1, 10))
        },
        "forecast": forecast_errors(trials=options.trials, seed=options.seed),
    }
    sys.stdout.write(json.dumps(settings | results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
