"""Learning curves of a panel: their targets, forecasts and back-tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_ext.errors import StudyError
from monai_ext.metrics.classification import Estimate
from monai_ext.study.forecast import BackTest, LearningCurve, back_test, forecast_gain
from monai_ext.study.report.results import Panel
from monai_ext.study.statistics import LabelsToTarget, labels_to_target

__all__ = ["Forecast", "forecasts", "learning_curve", "targets"]

_RESAMPLES = 400


@dataclass(frozen=True)
class Forecast:
    """What more labels would bring to a method.

    Attributes:
        method: its name.
        more: labels a class beyond the largest size.
        gain: expected change of the score.
        tested: the back-test.
        refusal: why there is none; empty when there is.
    """

    method: str
    more: int
    gain: Estimate | None
    tested: BackTest | None
    refusal: str = ""


def learning_curve(panel: Panel, method: str, metric: str = "auc") -> LearningCurve | None:
    """Scores by labels a class, each size once, with resamples of patients and folds; None without two sizes.

    The same folds are drawn for every size, as often as there are folds.
    """
    sizes = {panel.labels[size]: size for size in panel.sizes if (size, method) in panel.arms}
    labels = sorted(sizes)
    if len(labels) < 2:
        return None
    arms = [panel.arms[sizes[count], method] for count in labels]
    draws = [arm.fold_draws(metric) for arm in arms]
    folds = min(len(draw) for draw in draws)
    resamples = min(draw.shape[1] for draw in draws)
    count = min(_RESAMPLES, resamples)
    chosen = np.random.default_rng(0).integers(0, folds, size=(folds, max(count, 1)))
    columns = [
        np.take_along_axis(draw[:folds, :count], chosen, axis=0).mean(axis=0) if count else np.zeros(0)
        for draw in draws
    ]
    scores = np.array([arm.estimate(metric).value for arm in arms])
    return LearningCurve(np.array(labels), scores, np.stack(columns))


def forecasts(panel: Panel, method: str, more: list[int]) -> list[Forecast]:
    """Forecasts of a method for so many more labels a class."""
    curve = learning_curve(panel, method)
    if curve is None:
        return []
    found = []
    for count in sorted(more):
        try:
            gain = forecast_gain(curve, labels=float(curve.labels[-1]) + count)
        except StudyError as error:
            found.append(Forecast(method, count, None, None, str(error)))
            continue
        found.append(Forecast(method, count, gain, back_test(curve)))
    return found


def targets(panel: Panel, method: str, wanted: list[float]) -> list[LabelsToTarget]:
    """Labels a class at which a method reaches each score."""
    curve = learning_curve(panel, method)
    if curve is None:
        return []
    return [labels_to_target(curve.labels.tolist(), curve.scores.tolist(), target=t, draws=curve.draws) for t in wanted]
