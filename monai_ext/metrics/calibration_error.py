"""Whether predicted probabilities can be taken at their word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_ext.metrics.class_predictions import ClassPredictions

__all__ = ["CalibrationBins", "calibration_bins"]

BINS = 10


@dataclass(frozen=True)
class CalibrationBins:
    """Images in bins of equal width by the probability that they were given.

    Attributes:
        stated: (N,) the probability: of the positive class of two, else of the likeliest class.
        happened: (N,) boolean: the image is of that class.
        members: (N, M) 0 or 1: the bin of each image.
    """

    stated: np.ndarray
    happened: np.ndarray
    members: np.ndarray

    def errors(self, weights: np.ndarray) -> np.ndarray:
        """Expected calibration error, (R,), for images that count ``weights`` (R, N) times.

        It is the mean over images of the distance, in their bin, between mean probability and observed frequency (Guo
        et al. 2017, "On Calibration of Modern Neural Networks", section 2): sum_m |sum of stated - happened| / N.
        """
        gaps = weights @ (self.members * (self.stated - self.happened)[:, None])
        return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def calibration_bins(predictions: ClassPredictions, *, bins: int = BINS) -> CalibrationBins:
    """Put images into ``bins`` bins, [0, 1/M), [1/M, 2/M), ... [1 - 1/M, 1]."""
    if predictions.positive is None:
        stated, happened = predictions.probabilities.max(axis=1), predictions.predicted == predictions.labels
    else:
        stated = predictions.probabilities[:, predictions.positive]
        happened = predictions.labels == predictions.positive
    places = np.minimum((stated * bins).astype(int), bins - 1)
    return CalibrationBins(stated, happened, np.eye(bins)[places])
