"""Fine-tuning cells run the bundle's configs: their result is that of the bundle, run by hand."""

import csv

import numpy as np
import pytest

from helpers.small_study import TINY, results_of, run_small, small_plan, write_study_pictures
from monai_ext.study.cells.bundles import run_config


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fine_tuning")
    data = write_study_pictures(folder / "pictures")
    protocol = {"fractions": [0.5], "folds": [0], "overrides": {"epochs": 2, "head_only_epochs": 0}}
    content = small_plan(data, protocols={"fine_tuning": protocol})
    result = run_small(content, folder / "study")
    assert not result.failed
    return data, folder


def test_the_result_is_that_of_the_bundle_run_by_hand(study, repository, tmp_path):
    data, folder = study
    (record,) = [r for r in results_of(folder / "study").values() if r["cell"]["protocol"] == "fine_tuning"]
    bundle = repository / "bundles" / "covid19_classification"
    shared = {
        **TINY,
        "bundle_root": str(tmp_path),
        "dataset_dir": str(data),
        "splits": str(folder / "study" / "splits" / "pictures-0.json"),
        "num_workers": 0,
    }
    (tmp_path / "run").mkdir()
    own = {"section": "0.5", "fold": 0, "epochs": 2, "head_only_epochs": 0, "output_dir": str(tmp_path / "run")}
    run_config(bundle, ["train.json"], shared | own)
    judged = {"models": str(tmp_path / "run" / "model.pt"), "output_dir": str(tmp_path / "eval"), "section": "test"}
    network = {"network_def": TINY["network_def"], "models": judged["models"]}
    places = {key: shared[key] for key in ("bundle_root", "dataset_dir", "splits", "num_workers")}
    run_config(bundle, ["train.json", "evaluate.json"], network | places | judged)
    with open(tmp_path / "eval" / "predictions.csv", newline="") as file:
        shares = [float(row["probability_COVID"]) for row in csv.DictReader(file)]
    kept = np.array(record["results"]["predictions"]["probabilities"])[:, 1]
    np.testing.assert_allclose(kept, shares, atol=1e-6)


def test_nothing_of_the_work_stays_and_nothing_is_published_in_the_bundle(study, repository):
    _, folder = study
    assert not list((folder / "study" / "work").iterdir())


def test_the_record_says_what_was_chosen_on_validation(study):
    (record,) = [r for r in results_of(study[1] / "study").values() if r["cell"]["protocol"] == "fine_tuning"]
    chosen = record["results"]["chosen"]
    assert chosen["epochs"] == 2
    assert 1 <= chosen["best_epoch"] <= 2
    assert 0 <= chosen["best_validation_metric"] <= 1


def test_swapped_test_labels_change_scores_and_nothing_else(tmp_path):
    records = []
    for name, swap in (("honest", False), ("swapped", True)):
        data = write_study_pictures(tmp_path / name / "pictures", swap_test=swap)
        protocol = {"fractions": [0.5], "overrides": {"epochs": 2, "head_only_epochs": 0}}
        content = small_plan(data, protocols={"fine_tuning": protocol})
        content["tasks"]["pictures"]["splits"] = {"test": "official"}
        assert not run_small(content, tmp_path / name / "study").failed
        results = results_of(tmp_path / name / "study").values()
        records += [record["results"] for record in results if record["cell"]["protocol"] == "fine_tuning"]
    honest, swapped = records
    for key in ("chosen", "threshold", "n_training", "n_validation"):
        assert honest[key] == swapped[key]
    assert honest["predictions"]["probabilities"] == swapped["predictions"]["probabilities"]
    assert honest["predictions"]["labels"] == [1 - label for label in swapped["predictions"]["labels"]]
    assert honest["metrics"]["auc"] == pytest.approx(1 - swapped["metrics"]["auc"])
