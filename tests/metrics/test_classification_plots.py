"""Pictures of a classification's result."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from monai_ext.metrics import (
    evaluate_classification,
    write_confusion_matrix,
    write_precision_recall,
    write_reliability,
    write_roc,
)
from monai_ext.metrics.classification import ClassificationEvaluation

WRITERS = [write_confusion_matrix, write_precision_recall, write_reliability, write_roc]


@pytest.fixture(scope="module")
def evaluation() -> ClassificationEvaluation:
    share = np.array([0.1, 0.4, 0.35, 0.8])
    return evaluate_classification(
        np.stack([1 - share, share], axis=1), [0, 0, 1, 1], class_names=["a", "b"], positive_class="b", n_bootstrap=20
    )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that would have been written."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    return figures


@pytest.mark.parametrize("write", WRITERS[:1])
def test_a_picture_is_written_to_a_path_or_an_open_file(
    write: Callable[..., None], evaluation: ClassificationEvaluation, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    write(evaluation, stream)
    write(evaluation, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.format == "PNG"
    assert stream.getvalue()[:4] == b"\x89PNG"


def test_curves_pass_through_the_points_worked_out_by_hand(
    evaluation: ClassificationEvaluation, shown: list[Figure]
) -> None:
    write_roc(evaluation, "unused.png")
    curve, chance, chosen = shown[0].axes[0].lines
    assert np.asarray(curve.get_xydata()).tolist() == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
    assert np.asarray(chance.get_xydata()).tolist() == [[0, 0], [1, 1]]
    assert np.asarray(chosen.get_xydata()).tolist() == [[0, 0.5]]
    write_precision_recall(evaluation, "unused.png")
    curve = shown[1].axes[0].lines[0]
    np.testing.assert_allclose(np.asarray(curve.get_xydata())[:3], [[1, 1 / 2], [1, 2 / 3], [0.5, 1 / 2]])


def test_the_reliability_diagram_shows_frequencies_and_counts_by_bin(
    evaluation: ClassificationEvaluation, shown: list[Figure]
) -> None:
    write_reliability(evaluation, "unused.png")
    above, below = shown[0].axes
    points = np.asarray(above.lines[1].get_xydata())
    np.testing.assert_allclose(points, [[0.1, 0], [0.35, 1], [0.4, 0], [0.8, 1]])
    counts: Any = [bar.get_height() for bar in below.patches]  # type: ignore[attr-defined]
    assert counts == [0, 1, 0, 1, 1, 0, 0, 0, 1, 0]


def test_many_classes_have_a_curve_each(shown: list[Figure]) -> None:
    shares = np.eye(11)[np.arange(22) % 11] * 0.5 + 0.5 / 11
    evaluation = evaluate_classification(
        shares, np.arange(22) % 11, class_names=[f"organ {number}" for number in range(11)], n_bootstrap=0
    )
    for write in WRITERS:
        write(evaluation, "unused.png")
    matrix, precision_recall, _, roc = shown
    assert len(matrix.axes[0].texts) == 121
    assert len(precision_recall.axes[0].lines) == 11
    assert len(roc.axes[0].lines) == 12


@pytest.mark.parametrize(
    "names", [("a", "b"), ("no haemorrhage", "haemorrhage"), tuple(f"organ number {k}" for k in range(11))]
)
def test_a_confusion_matrix_has_room_for_its_names(names: tuple[str, ...], shown: list[Figure]) -> None:
    """Those of the rows, and what the rows are, were cut off by the picture's edge."""
    labels = list(range(len(names)))
    positive = names[1] if len(names) == 2 else None
    evaluation = evaluate_classification(
        np.eye(len(names)), labels, class_names=names, positive_class=positive, n_bootstrap=2
    )
    write_confusion_matrix(evaluation, "unused.png")
    (figure,) = shown
    figure.draw_without_rendering()
    for axes in figure.axes:
        used = axes.get_tightbbox()
        assert used is not None
        assert figure.bbox.containsx(used.x0)
        assert figure.bbox.containsx(used.x1)
        assert figure.bbox.containsy(used.y0)
        assert figure.bbox.containsy(used.y1)
