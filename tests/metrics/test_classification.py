"""Metrics of a classifier against cases worked out by hand, and what cannot be judged."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from monai_ext.metrics import Estimate, choose_threshold, evaluate_classification

SHARE = np.array([0.1, 0.4, 0.35, 0.8])
TWO = np.stack([1 - SHARE, SHARE], axis=1)
TWO_LABELS = [0, 0, 1, 1]
BINARY: dict[str, Any] = {"class_names": ["healthy", "ill"], "positive_class": "ill"}

THREE = np.array([[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.2, 0.6, 0.2], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0.5, 0.1, 0.4]])
THREE_LABELS = [0, 0, 1, 1, 2, 2]
ORGANS = ["liver", "spleen", "kidney"]


def values(probabilities: Any, labels: Any, **options: Any) -> dict[str, float]:
    evaluation = evaluate_classification(probabilities, labels, **{"n_bootstrap": 0, **options})
    return {name: estimate.value for name, estimate in evaluation.metrics.items()}


def test_two_classes_are_judged_as_worked_out_by_hand() -> None:
    assert values(TWO, TWO_LABELS, **BINARY) == pytest.approx(
        {
            "auc": 3 / 4,  # of four pairs, 0.35 (ill) lies below 0.4 (healthy)
            "average_precision": 1 / 2 * 1 + 1 / 2 * 2 / 3,
            "macro_f1": (2 * 2 / 5 + 2 * 1 / 3) / 2,  # healthy: 2 hits of 3 called and 2; ill: 1 of 1 and 2
            "accuracy": 3 / 4,
            "balanced_accuracy": (1 + 1 / 2) / 2,
            "sensitivity": 1 / 2,
            "specificity": 1,
            "brier_score": (0.01 + 0.16 + 0.4225 + 0.04) / 4,
            "calibration_error": (0.1 + 0.4 + 0.65 + 0.2) / 4,  # every image has a bin of its own
        }
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_precision_and_with_gradients_are_judged(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(60, 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    labels = torch.arange(60) % 3
    probabilities = logits.softmax(dim=1)
    evaluation = evaluate_classification(probabilities, labels, class_names=ORGANS, n_bootstrap=20)
    judged = evaluation.predictions.probabilities
    np.testing.assert_allclose(judged.sum(axis=1), 1, atol=1e-12 if dtype == torch.bfloat16 else 1e-3)
    exact = evaluate_classification(logits.detach().double().softmax(dim=1), labels, class_names=ORGANS, n_bootstrap=0)
    assert evaluation.metrics["auc"].value == pytest.approx(exact.metrics["auc"].value, abs=0.01)
    assert probabilities.requires_grad


def test_rounded_probabilities_of_bfloat16_that_no_longer_sum_to_one_are_taken_and_wrong_ones_are_not() -> None:
    rounded = torch.tensor([[0.9, 0.1], [0.35, 0.65]], dtype=torch.bfloat16)
    assert (rounded.double().sum(dim=1) - 1).abs().max() > 1e-3
    assert values(rounded, [0, 1], **BINARY)["auc"] == 1
    assert choose_threshold(rounded.requires_grad_(), torch.tensor([0, 1]), positive_class=1) == pytest.approx(
        0.375, abs=0.01
    )
    with pytest.raises(ValueError, match="no probabilities that sum to 1"):
        values(torch.tensor([[0.9, 0.2], [0.3, 0.7]], dtype=torch.bfloat16), [0, 1], **BINARY)


def test_the_other_class_as_the_positive_one_gives_its_own_values() -> None:
    other = values(TWO, TWO_LABELS, class_names=["healthy", "ill"], positive_class="healthy")
    assert other["auc"] == 3 / 4
    assert other["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert (other["sensitivity"], other["specificity"]) == (1, 1 / 2)


def test_a_threshold_moves_sensitivity_and_specificity_only() -> None:
    at_threshold = values(TWO, TWO_LABELS, **BINARY, threshold=0.35)
    assert at_threshold["sensitivity"] == 1  # 0.35 itself is called
    assert at_threshold["specificity"] == 1 / 2
    untouched = {"sensitivity", "specificity"}
    plain = values(TWO, TWO_LABELS, **BINARY)
    assert all(at_threshold[name] == plain[name] for name in plain if name not in untouched)


def test_three_classes_are_judged_one_against_the_rest() -> None:
    evaluation = evaluate_classification(THREE, THREE_LABELS, class_names=ORGANS, n_bootstrap=0)
    assert evaluation.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    liver, spleen, kidney = evaluation.per_class
    assert (liver["class"], liver["images"], liver["groups"]) == ("liver", 2, 2)
    # liver: 0.8 and 0.3 against 0.5, 0.2, 0.1, 0.1, of eight pairs one is wrong
    assert [row["auc"].value for row in (liver, spleen, kidney)] == [7 / 8, 1, 1]
    assert [row["sensitivity"].value for row in (liver, spleen, kidney)] == [1 / 2, 1, 1 / 2]
    assert [row["specificity"].value for row in (liver, spleen, kidney)] == [3 / 4, 3 / 4, 1]
    assert [row["precision"].value for row in (liver, spleen, kidney)] == pytest.approx([1 / 2, 2 / 3, 1])
    assert [row["f1"].value for row in (liver, spleen, kidney)] == pytest.approx([1 / 2, 4 / 5, 2 / 3])
    metrics = {name: estimate.value for name, estimate in evaluation.metrics.items()}
    assert metrics["auc"] == pytest.approx((7 / 8 + 1 + 1) / 3)
    assert metrics["average_precision"] == pytest.approx(((1 / 2 + 1 / 2 * 2 / 3) + 1 + 1) / 3)
    assert metrics["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == pytest.approx(4 / 6)
    assert metrics["brier_score"] == pytest.approx((0.06 + 0.78 + 0.24 + 0.06 + 0.26 + 0.62) / 6)
    # by confidence: 0.5 (wrong), 0.5 (wrong) | 0.6, 0.6 | 0.8, 0.8
    assert metrics["calibration_error"] == pytest.approx((1.0 + 0.8 + 0.4) / 6)
    assert "sensitivity" not in metrics


def test_tensors_are_taken_and_json_gives_everything_back() -> None:
    evaluation = evaluate_classification(
        torch.tensor(TWO), torch.tensor(TWO_LABELS), **BINARY, threshold=0.3, n_bootstrap=0
    )
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert content["positive_class"] == "ill"
    assert content["threshold"] == 0.3
    assert content["metrics"]["auc"] == {"value": 0.75, "low": None, "high": None}
    assert content["per_class"][1]["images"] == 2


def test_guessing_the_same_for_all_is_worth_half_an_auc() -> None:
    constant = np.tile([0.6, 0.4], (4, 1))
    metrics = values(constant, TWO_LABELS, **BINARY)
    assert metrics["auc"] == metrics["average_precision"] == metrics["balanced_accuracy"] == 1 / 2
    assert metrics["calibration_error"] == pytest.approx(0.1)


def test_an_estimate_reads_as_text() -> None:
    assert str(Estimate(0.5)) == "0.500"
    assert str(Estimate(0.5, 0.25, 0.75)) == "0.500 (0.250 to 0.750)"
    assert math.isnan(Estimate(0.5).low)


@pytest.mark.parametrize(
    ("probabilities", "labels", "options", "message"),
    [
        (TWO, [1, 1, 1, 1], {}, "Of the 4 images none is of class healthy"),
        (TWO, [0, 0, 1, 2], {}, "Labels are 0 to 1 for the classes healthy, ill; received 2"),
        (TWO, [0, 0, 1, -1], {}, "received -1"),
        (TWO, [0, 0, 1, 0.5], {}, "whole numbers"),
        (TWO, ["a", "b", "a", "b"], {}, "whole numbers"),
        (TWO, [0, 1], {}, r"received the shapes \(4, 2\) and \(2,\)"),
        (TWO[:0], [], {}, r"\(0, 2\)"),
        (SHARE, TWO_LABELS, {}, r"\(4,\) and \(4,\)"),
        (np.where(TWO == 0.1, np.nan, TWO), TWO_LABELS, {}, "1 of 4 predictions are NaN or infinite, the first of im"),
        (TWO * 2, TWO_LABELS, {}, "Apply a softmax to logits first"),
        (TWO, TWO_LABELS, {"positive_class": None}, "positive_class is 'healthy' or 'ill'; received None"),
        (TWO, TWO_LABELS, {"positive_class": "sick"}, "received 'sick'"),
        (TWO, TWO_LABELS, {"class_names": ["ill", "ill"]}, "two classes with different names"),
        (TWO, TWO_LABELS, {"class_names": ORGANS}, "for the 3 classes"),
        (TWO, TWO_LABELS, {"groups": ["a", "b"]}, "received 4 images and 2 groups"),
        (TWO, TWO_LABELS, {"groups": ["a"] * 4, "n_bootstrap": 10}, "all 4 images are of one"),
        (TWO, TWO_LABELS, {"threshold": math.nan}, "A threshold is a number"),
        (THREE, THREE_LABELS, {"class_names": ORGANS}, "all are judged one against the rest"),
        (
            THREE,
            THREE_LABELS,
            {"class_names": ORGANS, "positive_class": None, "threshold": 0.5},
            "positive class of two",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(
    probabilities: Any, labels: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_classification(probabilities, labels, **{**BINARY, "n_bootstrap": 0, **options})


def test_the_threshold_with_the_largest_youden_index_nearest_to_a_half_is_chosen() -> None:
    # from 0.8 on: sensitivity 1/2, specificity 1; from 0.35 on: 1 and 1/2. The first has (0.8 + 0.4) / 2, the second
    # (0.35 + 0.1) / 2.
    assert choose_threshold(TWO, TWO_LABELS, positive_class=1) == pytest.approx(0.6)
    assert choose_threshold(TWO, TWO_LABELS, positive_class="ill", class_names=["healthy", "ill"]) == pytest.approx(0.6)
    assert choose_threshold(TWO, TWO_LABELS, positive_class=0) == pytest.approx((0.6 + 0.2) / 2)


def test_a_threshold_for_scores_without_any_order_calls_all_positive() -> None:
    constant = np.tile([0.6, 0.4], (4, 1))
    assert choose_threshold(constant, TWO_LABELS, positive_class=1) == pytest.approx(0.2)


def test_a_threshold_of_three_classes_or_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match="received '2'"):
        choose_threshold(TWO, TWO_LABELS, positive_class=2)
    with pytest.raises(ValueError, match="for the 2 classes"):
        choose_threshold(THREE, THREE_LABELS, positive_class=1)
