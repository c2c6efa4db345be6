"""Judging the folds of a cross-validation together."""

import json

import numpy as np
import pytest

from monai_ext.cli import main
from monai_ext.handlers.classification_files import write_classification_files
from monai_ext.metrics import evaluate_classification

CLASSES = ["no", "yes"]
SHARES = np.array([0.1, 0.6, 0.7, 0.9, 0.2, 0.3, 0.4, 0.8])
LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1])


def _evaluation(folder, places, classes=CLASSES):
    shares = np.stack([1 - SHARES[places], SHARES[places]], axis=1)
    groups = [f"p{place // 2}" for place in places]
    result = evaluate_classification(
        shares, LABELS[places], class_names=classes, positive_class=classes[1], groups=groups, n_bootstrap=0
    )
    write_classification_files(folder, result, columns={"group": groups})
    return str(folder)


def test_pooled_folds_are_judged_as_one_set_of_images(tmp_path, capsys):
    folders = [_evaluation(tmp_path / str(fold), range(4 * fold, 4 * fold + 4)) for fold in range(2)]
    assert main(["pool", *folders, "--output", str(tmp_path / "pooled"), "--resamples", "50"]) == 0
    content = json.loads((tmp_path / "pooled" / "metrics.json").read_text())
    expected = evaluate_classification(
        np.stack([1 - SHARES, SHARES], axis=1), LABELS, class_names=CLASSES, positive_class="yes", n_bootstrap=0
    )
    assert content["images"] == 8
    assert content["groups"] == 4
    assert content["metrics"]["auc"]["value"] == pytest.approx(expected.metrics["auc"].value)
    assert content["metrics"]["auc"]["low"] < content["metrics"]["auc"]["high"]
    assert "auc" in capsys.readouterr().out


def test_evaluations_of_other_classes_are_refused(tmp_path, capsys):
    folders = [_evaluation(tmp_path / "a", range(4)), _evaluation(tmp_path / "b", range(4), ["healthy", "ill"])]
    assert main(["pool", *folders, "--output", str(tmp_path / "pooled")]) == 2
    assert "other classes" in capsys.readouterr().err


def test_a_folder_that_is_no_evaluation_is_refused(tmp_path, capsys):
    assert main(["pool", str(tmp_path)]) == 2
    assert "no folder that evaluate.json wrote" in capsys.readouterr().err


def test_pseudonyms_of_an_older_version_are_not_pooled_with_keyed_ones(tmp_path, capsys):
    folders = []
    for fold, digits in enumerate((16, 32)):
        result = evaluate_classification(
            np.stack([1 - SHARES, SHARES], axis=1), LABELS, class_names=CLASSES, positive_class="yes", n_bootstrap=0
        )
        groups = [f"{number:0{digits}x}" for number in range(8)]
        write_classification_files(tmp_path / str(fold), result, columns={"group": groups})
        folders.append(str(tmp_path / str(fold)))
    assert main(["pool", *folders, "--output", str(tmp_path / "pooled")]) == 2
    assert "One patient would count as two; evaluate the older ones again." in capsys.readouterr().err


def test_class_names_that_look_like_formulas_come_through_the_table(tmp_path):
    folders = [_evaluation(tmp_path / "a", range(8), classes=["=no", "@yes"])]
    assert "'=no" in (tmp_path / "a" / "predictions.csv").read_text()
    assert main(["pool", *folders, "--output", str(tmp_path / "pooled"), "--resamples", "20"]) == 0
