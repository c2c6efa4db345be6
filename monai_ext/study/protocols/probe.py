"""A linear probe: logistic regression on features that are not trained, its strength chosen on validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_ext.metrics import choose_threshold
from monai_ext.study.cells.cell import Cell
from monai_ext.study.protocols.features import encoder_features
from monai_ext.study.protocols.judging import judged
from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.tasks.prepared import PreparedTask

__all__ = ["STRENGTHS", "Probe", "compute", "fit_probe", "probed"]

STRENGTHS = tuple(10.0**power for power in range(-5, 2))
"""Inverse strengths C of the L2 penalty, the strongest penalty first."""
_STEPS = 300
_LEAST = 1e-12


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        mean, deviation: (D,) of the training features.
        weights: (K, D) and ``bias`` (K,).
        inverse_strength: that was chosen.
        validation_loss: mean log loss on validation for each of ``STRENGTHS``.
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    inverse_strength: float
    validation_loss: tuple[float, ...]

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, K) for features (N, D)."""
        logits = (features - self.mean) / self.deviation @ self.weights.T + self.bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def fit_probe(training: np.ndarray, labels: np.ndarray, validation: np.ndarray, validation_labels: np.ndarray) -> Probe:
    """Fit logistic regression for every strength and keep that with the least log loss on validation.

    Features are standardised by mean and deviation of the training images. Of equals the strongest penalty is kept.

    Args:
        training, validation: (N, D) features.
        labels, validation_labels: classes from 0, each of them among ``labels``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, deviation = training.mean(axis=0), training.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    inputs = ((training - mean) / deviation).astype(np.float64)
    model: Any = LogisticRegression(max_iter=_STEPS, warm_start=True)
    best: Probe | None = None
    losses: list[float] = []
    for strength in STRENGTHS:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps are enough to choose by validation
            model.fit(inputs, labels)
        weights, bias = _both_classes(model.coef_, model.intercept_)
        candidate = Probe(mean, deviation, weights, bias, strength, ())
        shares = candidate.probabilities(validation)[np.arange(len(validation)), validation_labels]
        losses.append(float(-np.log(np.maximum(shares, _LEAST)).mean()))
        if losses[-1] < min(losses[:-1], default=np.inf):
            best = candidate
    if best is None:
        raise ValueError("No probe could be fitted: the features of validation are not finite.")
    return Probe(mean, deviation, best.weights, best.bias, best.inverse_strength, tuple(losses))


def compute(cell: Cell, *, task: PreparedTask, folder: StudyFolder, device: str | None) -> tuple[dict, dict]:
    """Results of a probe cell."""
    features = encoder_features(cell, task=task, folder=folder, device=device)
    return probed(features, cell=cell, task=task), {}


def probed(features: np.ndarray, *, cell: Cell, task: PreparedTask) -> dict[str, Any]:
    """Fit on the cell's labelled images, choose on validation, predict the test images.

    Args:
        features: (N, D) of all images of the task.
    """
    training = task.section(cell.size, fold=cell.fold, subset=cell.subset)
    validation = task.section("validation", fold=cell.fold)
    probe = fit_probe(features[training], task.numbers[training], features[validation], task.numbers[validation])
    threshold = chosen_threshold(probe.probabilities(features[validation]), task, validation)
    shares = probe.probabilities(features[task.section("test", fold=cell.fold)])
    chosen = {
        "inverse_strength": probe.inverse_strength,
        "validation_log_loss": round(min(probe.validation_loss), 6),
    }
    return judged(shares, cell=cell, task=task, chosen=chosen, threshold=threshold)


def chosen_threshold(shares: np.ndarray, task: PreparedTask, validation: np.ndarray) -> float | None:
    """Of two classes, the threshold that is best on validation; None with more."""
    if task.positive_class is None:
        return None
    return float(
        choose_threshold(shares, task.numbers[validation], positive_class=task.positive_class, class_names=task.classes)
    )


def _both_classes(weights: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of two classes scikit-learn has one row of weights, of the second against the first."""
    if len(weights) > 1:
        return weights.copy(), bias.copy()
    return np.concatenate([np.zeros_like(weights), weights]), np.concatenate([np.zeros_like(bias), bias])
