import numpy as np
import pytest

from monai_ext.metrics import evaluate_segmentation, score_case

SQUARE = np.zeros((20, 20), np.uint8)
SQUARE[5:10, 5:10] = 1
EMPTY = SQUARE * 0


def _values(predicted, reference, **options):
    return score_case(predicted, reference, classes=2, tolerance=1.0, **options).values


def test_dice_and_sizes_are_those_worked_out_by_hand():
    scores = score_case(np.roll(SQUARE, 2, axis=1), SQUARE, classes=2, spacing_mm=(2.0, 0.5), tolerance=1.0)
    assert scores.dice.tolist() == [2 * 15 / 50]
    assert (scores.reference[0], scores.unit) == (25.0, "mm2")
    assert scores.values["volume_error"] == 0


def test_surfaces_within_the_tolerance_agree_in_millimetres():
    shifted = np.roll(SQUARE, 1, axis=1)
    assert _values(shifted, SQUARE, spacing_mm=(1.0, 1.0))["nsd"] == 1
    assert _values(shifted, SQUARE, spacing_mm=(5.0, 5.0))["nsd"] < 1
    assert _values(shifted, SQUARE)["nsd"] == 1


def test_volumes_are_judged_as_a_whole():
    reference = np.stack([EMPTY, SQUARE, SQUARE])
    predicted = np.stack([SQUARE, SQUARE, EMPTY])
    scores = score_case(predicted, reference, classes=2, spacing_mm=(4.0, 1.0, 1.0), tolerance=1.0)
    assert scores.dice.tolist() == [0.5]
    assert scores.reference.tolist() == [pytest.approx(50 * 4 / 1000)]
    assert scores.unit == "ml"


def test_a_volume_of_one_slice_is_a_picture():
    assert score_case(SQUARE[None], SQUARE[None], classes=2, spacing_mm=(4.0, 1.0, 1.0)).unit == "mm2"


def test_nothing_found_counts_as_zero():
    values = _values(EMPTY, SQUARE)
    assert (values["dice"], values["nsd"], values["missed"]) == (0, 0, 1)
    assert values["volume_bias"] == -1
    assert np.isnan(values["false_alarms"])


@pytest.mark.parametrize(("predicted", "alarm"), [(SQUARE, 1), (EMPTY, 0)])
def test_an_empty_mask_has_no_dice_and_counts_as_an_alarm_or_none(predicted, alarm):
    values = _values(predicted, EMPTY)
    assert values.pop("false_alarms") == alarm
    assert np.isnan(list(values.values())).all()


def test_classes_that_a_mask_lacks_are_left_out_of_a_cases_mean():
    reference = SQUARE.copy()
    reference[12:14, 12:14] = 3
    predicted = SQUARE.copy()
    values = score_case(predicted, reference, classes=4).values
    assert values["dice"] == 0.5
    assert np.isnan(values["nsd"])


def test_the_mean_is_over_cases_with_a_mask_and_alarms_over_those_without():
    pairs = [(SQUARE, SQUARE), (EMPTY, SQUARE), (SQUARE, EMPTY), (EMPTY, EMPTY)]
    cases = [score_case(*pair, classes=2, tolerance=1.0) for pair in pairs]
    evaluation = evaluate_segmentation(cases, class_names=["background", "lesion"], n_bootstrap=200)
    assert evaluation.metrics["dice"].value == 0.5
    assert evaluation.metrics["false_alarms"].value == 0.5
    assert evaluation.per_class[0]["cases"] == 2
    content = evaluation.to_json()
    assert content["cases_with_a_reference"] == 2
    assert content["tolerance_unit"] == "pixels"


def test_metrics_that_nothing_defines_are_missing():
    evaluation = evaluate_segmentation([score_case(SQUARE, SQUARE, classes=2)], class_names=["a", "b"], n_bootstrap=0)
    assert "nsd" not in evaluation.metrics
    assert "false_alarms" not in evaluation.metrics


def test_intervals_are_over_patients():
    good, bad = (score_case(part, SQUARE, classes=2) for part in (SQUARE, EMPTY))
    names = {"class_names": ["a", "b"], "n_bootstrap": 500}
    by_case = evaluate_segmentation([good, bad] * 20, **names).metrics["dice"]
    by_patient = evaluate_segmentation([good, bad] * 20, groups=[1, 2] * 20, **names).metrics["dice"]
    assert by_case.low > 0.3
    assert (by_patient.low, by_patient.high) == (0.0, 1.0)


def test_one_patient_has_no_interval(caplog):
    case = score_case(SQUARE, SQUARE, classes=2)
    evaluation = evaluate_segmentation([case, case], class_names=["a", "b"], groups=["p", "p"])
    assert np.isnan(evaluation.metrics["dice"].low)
    assert "all cases are of one group" in caplog.text


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"shape \(20, 20\) was compared with a mask of shape \(19, 20\)"):
        score_case(SQUARE, SQUARE[1:], classes=2)
    with pytest.raises(ValueError, match="at least one case"):
        evaluate_segmentation([], class_names=["a", "b"])
    with pytest.raises(ValueError, match="1 cases and 2 groups"):
        evaluate_segmentation([score_case(SQUARE, SQUARE, classes=2)], class_names=["a", "b"], groups=[1, 2])
