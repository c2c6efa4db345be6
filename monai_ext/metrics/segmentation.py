"""How good a segmentation is: overlap, surfaces and sizes by case, with intervals over patients."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_surface_dice

from monai_ext.metrics.classification import Estimate, json_estimate
from monai_ext.metrics.group_bootstrap import draw_groups

__all__ = ["CaseScores", "SegmentationEvaluation", "evaluate_segmentation", "score_case"]

logger = logging.getLogger(__name__)

_PERCENTILES = (2.5, 97.5)
_ML = 1e-3


@dataclass(frozen=True)
class CaseScores:
    """One case, a picture or a volume, by class without the background; made by :func:`score_case`.

    Attributes:
        dice, nsd: (K - 1,), NaN where the reference has nothing of the class; ``nsd`` also where it was not asked for.
        reference, predicted: (K - 1,) sizes in ``unit``.
        unit: ``"ml"``, ``"mm2"`` or, where the spacing is not known, ``"pixels"``.
    """

    dice: np.ndarray
    nsd: np.ndarray
    reference: np.ndarray
    predicted: np.ndarray
    unit: str

    @property
    def values(self) -> dict[str, float]:
        """What means are taken of: over the classes that the reference has; NaN where it has none, or nothing."""
        has = self.reference > 0
        error = (self.predicted[has] - self.reference[has]) / self.reference[has]
        numbers = {
            "dice": _mean(self.dice[has]),
            "nsd": _mean(self.nsd[has]),
            "volume_error": _mean(np.abs(error)),
            "volume_bias": _mean(error),
            "missed": _mean((self.predicted[has] == 0).astype(float)),
        }
        return numbers | {"false_alarms": float(self.predicted.any()) if not has.any() else np.nan}


@dataclass(frozen=True)
class SegmentationEvaluation:
    """Made by :func:`evaluate_segmentation`.

    Attributes:
        metrics: by name, see :func:`evaluate_segmentation`.
        per_class: one row a class but the background: class, cases that have it, and estimates by name.
        cases: what was judged, in order.
        groups: of every case, its patient as a number.
        class_names: background first.
        tolerance: of the surfaces, in mm, or in pixels where there is no spacing.
        resamples: number of bootstrap resamples that the intervals are made of.
    """

    metrics: dict[str, Estimate]
    per_class: list[dict[str, Any]]
    cases: tuple[CaseScores, ...] = field(repr=False)
    groups: np.ndarray = field(repr=False)
    class_names: tuple[str, ...]
    tolerance: float
    resamples: int = 0

    def to_json(self) -> dict[str, Any]:
        """Everything but the cases as JSON values; None stands for what is not defined."""
        return {
            "cases": len(self.cases),
            "cases_with_a_reference": sum(bool(case.reference.any()) for case in self.cases),
            "groups": len(set(self.groups.tolist())),
            "class_names": list(self.class_names),
            "tolerance": self.tolerance,
            "tolerance_unit": "pixels" if {case.unit for case in self.cases} == {"pixels"} else "mm",
            "bootstrap": {"resamples": self.resamples, "of": "groups"},
            "metrics": {name: json_estimate(estimate) for name, estimate in self.metrics.items()},
            "per_class": [
                {name: json_estimate(cell) if isinstance(cell, Estimate) else cell for name, cell in row.items()}
                for row in self.per_class
            ],
        }


def score_case(
    predicted: np.ndarray,
    reference: np.ndarray,
    *,
    classes: int,
    spacing_mm: Sequence[float] | None = None,
    tolerance: float | None = None,
) -> CaseScores:
    """Compare the label maps of one case.

    Args:
        predicted: class numbers, (H, W) of a picture or (D, H, W) of a volume.
        reference: of the same shape.
        classes: K, background included.
        spacing_mm: of the axes of the maps; None where it is not known.
        tolerance: how far a surface may lie from the reference's and still count as right, in mm, or in pixels where
            there is no spacing; None leaves the surfaces out, which take most of the time.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> reference = np.zeros((4, 4), np.uint8)
        >>> reference[1:3, 1:3] = 1
        >>> score_case(np.roll(reference, 1, axis=1), reference, classes=2, tolerance=1).values["dice"]
        0.5
    """
    if predicted.shape != reference.shape:
        raise ValueError(
            f"A prediction of shape {predicted.shape} was compared with a mask of shape {reference.shape}."
        )
    if predicted.ndim == 3 and len(predicted) == 1:
        predicted, reference = predicted[0], reference[0]
        spacing_mm = None if spacing_mm is None else spacing_mm[1:]
    numbers = np.arange(1, classes)
    ours, theirs = (np.stack([part == number for number in numbers]) for part in (predicted, reference))
    axes = tuple(range(1, ours.ndim))
    common, marked, there = (part.sum(axis=axes).astype(float) for part in (ours & theirs, ours, theirs))
    dice = np.divide(2 * common, marked + there, out=np.full(len(numbers), np.nan), where=there > 0)
    nsd = np.full(len(numbers), np.nan)
    if tolerance is not None:
        for number in np.flatnonzero(there):
            nsd[number] = _surface_dice(ours[number], theirs[number], spacing_mm, tolerance) if marked[number] else 0.0
    voxel, unit = _unit(spacing_mm)
    return CaseScores(dice, nsd, there * voxel, marked * voxel, unit)


def evaluate_segmentation(
    cases: Sequence[CaseScores],
    *,
    class_names: Sequence[str],
    groups: Sequence[Hashable] | None = None,
    tolerance: float = 2.0,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> SegmentationEvaluation:
    """Judge a segmentation by the mean over its cases.

    The choice is that of Metrics Reloaded (Maier-Hein et al. 2024, Nature Methods 21, "Metrics reloaded:
    recommendations for image analysis validation") for structures whose outline matters: ``dice`` for overlap and
    ``nsd``, the normalised surface distance (Nikolov et al. 2021, here also called surface Dice), for the outline.
    ``volume_error`` is ``|predicted - reference| / reference``, ``volume_bias`` the same with its sign, ``missed`` the
    share of cases in which nothing was found. All five are of the cases (and classes) that the reference has: where it
    is empty, Dice is 0 / 0, and to call it 1, as the authors' code does with a warning, lets a data set's share of
    healthy cases decide the mean. Those cases are told apart, as the paper advises for undefined values:
    ``false_alarms`` is the share of the cases with an empty reference in which anything was marked; it is missing where
    there are none. A prediction that is empty where the reference is not counts as 0.

    The interval is from the 2.5th to the 97.5th percentile over resamples of groups, as for classification.

    Args:
        cases: see :func:`score_case`.
        class_names: K names, background first.
        groups: of every case, its patient; None when every case is of another one.
        tolerance: that ``nsd`` was computed with.
        n_bootstrap: number of resamples; 0 for no intervals.
        seed: of the resamples.

    Raises:
        ValueError: there is no case, or groups do not fit.
    """
    if not cases or (groups is not None and len(groups) != len(cases)):
        raise ValueError(
            f"A segmentation is judged by at least one case, with a group for each; received {len(cases)} cases and"
            f" {'no' if groups is None else len(groups)} groups."
        )
    names = list(range(len(cases))) if groups is None else list(groups)
    codes = np.array([sorted(set(map(str, names))).index(str(name)) for name in names])
    weights = _resamples(codes, n_bootstrap, seed)
    columns = {name: np.array([case.values[name] for case in cases]) for name in cases[0].values}
    metrics = {name: _estimate(values, weights) for name, values in columns.items() if np.isfinite(values).any()}
    rows = [_class_row(cases, number, name, weights) for number, name in enumerate(class_names[1:])]
    return SegmentationEvaluation(
        metrics, rows, tuple(cases), codes, tuple(class_names), tolerance, resamples=len(weights)
    )


def _surface_dice(ours: np.ndarray, theirs: np.ndarray, spacing_mm: Sequence[float] | None, tolerance: float) -> float:
    mine, reference = (torch.from_numpy(part)[None, None] for part in (ours, theirs))
    spacing = None if spacing_mm is None else [float(side) for side in spacing_mm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI calls its own function by a name that will go
        return float(compute_surface_dice(mine, reference, [tolerance], include_background=True, spacing=spacing))


def _unit(spacing_mm: Sequence[float] | None) -> tuple[float, str]:
    if spacing_mm is None:
        return 1.0, "pixels"
    return (float(np.prod(spacing_mm)) * _ML, "ml") if len(spacing_mm) == 3 else (float(np.prod(spacing_mm)), "mm2")


def _resamples(codes: np.ndarray, count: int, seed: int) -> np.ndarray:
    if count and codes.max() < 1:
        logger.warning("There are no intervals: all cases are of one group (patient).")
        count = 0
    return draw_groups(codes, count=count, seed=seed)


def _class_row(cases: Sequence[CaseScores], number: int, name: str, weights: np.ndarray) -> dict[str, Any]:
    there = np.array([case.reference[number] for case in cases])
    marked = np.array([case.predicted[number] for case in cases])
    error = np.divide(marked - there, there, out=np.full(len(cases), np.nan), where=there > 0)
    row: dict[str, Any] = {"class": name, "cases": int((there > 0).sum())}
    columns = {
        "dice": np.array([case.dice[number] for case in cases]),
        "nsd": np.array([case.nsd[number] for case in cases]),
        "volume_error": np.abs(error),
        "volume_bias": error,
    }
    return row | {metric: _estimate(values, weights) for metric, values in columns.items()}


def _estimate(values: np.ndarray, weights: np.ndarray) -> Estimate:
    """The mean of what is defined; in resamples that have nothing of it, it is not either."""
    defined = np.isfinite(values)
    if not defined.any():
        return Estimate(float("nan"))
    value = float(values[defined].mean())
    if not len(weights):
        return Estimate(value)
    counts = weights[:, defined].astype(float)
    totals = counts.sum(axis=1)
    draws = (counts @ values[defined])[totals > 0] / totals[totals > 0]
    low, high = np.percentile(draws, _PERCENTILES)
    return Estimate(value, float(low), float(high))


def _mean(values: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing it is NaN
        return float(np.nanmean(values)) if len(values) else float("nan")
