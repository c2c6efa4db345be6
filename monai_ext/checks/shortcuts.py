"""What can be told of a class without looking at anatomy: the least that a classifier has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.checks.gray_statistics import GRAY_STATISTICS, IMAGE_SIZE, gray_statistics, image_size
from monai_ext.data.labelled.images import LabelledImages
from monai_ext.data.labelled.labelled_sections import open_labelled_sections
from monai_ext.data.labelled.labels import LabelledData
from monai_ext.data.labelled.sections import Division
from monai_ext.data.splits.splits import read_splits
from monai_ext.errors import DatasetError
from monai_ext.metrics.classification import ClassificationEvaluation, evaluate_classification, evaluate_predictions
from monai_ext.transforms.window import WindowChoice

__all__ = ["Shortcut", "measure_shortcuts"]

PREDICTORS: dict[str, tuple[str, ...]] = {
    "majority class": (),
    "image size": IMAGE_SIZE,
    "gray levels": GRAY_STATISTICS,
    "gray levels and image size": GRAY_STATISTICS + IMAGE_SIZE,
}


@dataclass(frozen=True)
class Shortcut:
    """How far one trivial predictor gets.

    Attributes:
        name: of the predictor.
        fitted_on: sections that it was fitted on.
        judged_on: section that it is judged on.
        evaluation: the result.
        without_near_duplicates: the result without images that resemble one it was fitted on; None where none does.
    """

    name: str
    fitted_on: str
    judged_on: str
    evaluation: ClassificationEvaluation
    without_near_duplicates: ClassificationEvaluation | None = None


@dataclass(frozen=True)
class _Comparison:
    fitted: np.ndarray
    judged: np.ndarray
    resembling: frozenset[int]
    names: tuple[str, str]


def measure_shortcuts(
    dataset_dir: str | Path,
    *,
    splits: str | Path | None = None,
    positive_class: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    window: WindowChoice = "full",
    n_bootstrap: int = 2000,
    seed: int = 0,
    read: Callable[[], object] = lambda: None,
) -> list[Shortcut]:
    """Judge trivial predictors on a split, in the way a classifier is judged.

    They are the frequencies of the classes, and logistic regression (scikit-learn's, standardised inputs) on image
    size, on nine gray-level statistics of the whole image, and on both. What such a predictor can tell, a network can
    learn instead of anatomy: windows, cropping, borders, the journal that an image was printed in.

    Where the split has test sections, they are fitted on training and validation and judged on test. Where it has none,
    each fold's validation section is judged by a predictor of its training section. Predictions of different folds are
    judged together.

    Args:
        dataset_dir: labelled data, see :func:`~monai_ext.data.open_labelled_images`.
        splits: file by ``python -m monai_ext splits make``; the published split when None.
        positive_class: of two classes, the one that is looked for; the last one (by name, or value) when None.
        columns: names of columns that differ.
        window: which Hounsfield units become 0 .. 1, for a slice store.
        n_bootstrap: resamples for the intervals.
        seed: of the resamples, and of a split that is made where there is none.
        read: is called after every image.

    Raises:
        DatasetError, SplitError: the data or the split cannot be used.
        ValueError: the positive class is none of the classes.
    """
    sections = open_labelled_sections(dataset_dir, window=window, columns=columns, splits=splits, seed=seed)
    classes, images, data = sections.class_names, sections.choose("all"), sections.division.data
    if positive_class is None and len(classes) == 2:
        positive_class = classes[-1]
    features = _features(images, read)
    labels = np.array(images.labels)
    comparisons = _comparisons(data, splits, seed)
    judged = np.concatenate([comparison.judged for comparison in comparisons])
    about: dict[str, Any] = {
        "class_names": classes,
        "positive_class": positive_class,
        "groups": [data.related.groups[place] for place in judged],
    }
    resembling = np.concatenate([np.isin(part.judged, list(part.resembling)) for part in comparisons])
    results = []
    for name, used in PREDICTORS.items():
        parts = [_fit_and_predict(features, used, labels, comparison, len(classes)) for comparison in comparisons]
        evaluation = evaluate_classification(
            np.concatenate(parts), labels[judged], **about, n_bootstrap=n_bootstrap, seed=seed
        )
        rest = None
        if resembling.any():
            rest = evaluate_predictions(evaluation.predictions.part(~resembling), n_bootstrap=n_bootstrap, seed=seed)
        results.append(Shortcut(name, *comparisons[0].names, evaluation, rest))
    return results


def _features(images: LabelledImages, read: Callable[[], object]) -> dict[str, np.ndarray]:
    """(N,) of every statistic by name; each image is decoded once."""
    rows = []
    for number in range(len(images)):
        image = images[number]["image"].numpy()
        rows.append(np.concatenate([gray_statistics(image), image_size(image)]))
        read()
    return dict(zip(GRAY_STATISTICS + IMAGE_SIZE, np.stack(rows).T, strict=True))


def _comparisons(data: LabelledData, splits: str | Path | None, seed: int) -> Sequence[_Comparison]:
    """Training and validation for each test section; without any, each fold's training for its validation."""
    folds = range(len(read_splits(splits, data.items).folds)) if splits is not None else range(1)
    divisions = [Division(data, splits=splits, fold=fold, seed=seed) for fold in folds]

    def compare(fitted: Sequence[str], judged: str, division: Division) -> _Comparison:
        places = np.concatenate([_places(division, section) for section in fitted])
        names = (" and ".join(fitted), judged)
        return _Comparison(places, _places(division, judged), division.resembling_earlier(judged), names)

    if len(_places(divisions[0], "test")):
        comparisons = [compare(("training", "validation"), "test", division) for division in divisions]
        return list({tuple(comparison.judged): comparison for comparison in comparisons}.values())
    return [compare(("training",), "validation", division) for division in divisions]


def _places(division: Division, section: str) -> np.ndarray:
    try:
        return np.array(division.places(section), dtype=int)
    except DatasetError:  # the section is empty
        return np.array([], dtype=int)


def _fit_and_predict(
    features: Mapping[str, np.ndarray], used: Sequence[str], labels: np.ndarray, comparison: _Comparison, classes: int
) -> np.ndarray:
    """Probabilities (N, K) of what is judged; 0 for a class that was not there to be learnt."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inputs = np.stack([features[name] for name in used], axis=1) if used else np.zeros((len(labels), 1))
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)) if used else DummyClassifier()
    model.fit(inputs[comparison.fitted], labels[comparison.fitted])
    shares = np.zeros((len(comparison.judged), classes))
    shares[:, model.classes_] = model.predict_proba(inputs[comparison.judged])
    return shares
