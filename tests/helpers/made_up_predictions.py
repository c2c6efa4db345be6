"""Probabilities, labels and groups of a classifier that is right more often than not."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_ext.metrics.class_predictions import ClassPredictions, check_predictions

__all__ = ["checked", "made_up"]


def made_up(classes: int, images: int, *, groups: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Probabilities in fiftieths, so that many are equal, which tell something of the class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    shares = generator.dirichlet(np.ones(classes), images)
    shares[np.arange(images), labels] += 0.4
    shares = generator.multinomial(50, shares / shares.sum(axis=1, keepdims=True)) / 50
    return {
        "probabilities": shares,
        "labels": labels,
        "class_names": [f"class {number}" for number in range(classes)],
        "positive_class": "class 1" if classes == 2 else None,
        "groups": generator.integers(0, groups, images).tolist() if groups else None,
        "threshold": 0.4 if classes == 2 else None,
    }


def checked(**options: Any) -> ClassPredictions:
    """Such predictions as metrics take them."""
    options = dict(options)
    return check_predictions(options.pop("probabilities"), options.pop("labels"), **options)
