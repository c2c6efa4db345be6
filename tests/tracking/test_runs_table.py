"""The saved view of MLflow's page: which columns, and whose it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_ext.locations import tracking_uri_for
from monai_ext.tracking import runs_table
from monai_ext.tracking.operations import Metrics, NestedRun, OpenRun, Parameters, milliseconds
from monai_ext.tracking.runs_table import VIEW_TAG, empty_view, with_columns
from monai_ext.tracking.store import MLflowStore

OF_METHODS = ["params.`method`", "params.`images_seen`", "metrics.`knn_accuracy_a_b`"]


def opened(key: str) -> MLflowStore:
    store = MLflowStore(tracking_uri_for())
    store.write(OpenRun("", "tiny", key, "", key, milliseconds(), {}))
    return store


def columns_in(client: Any) -> list[str]:
    """What MLflow's page reads: the menu's versions the text ``state``, versions before it the top of the JSON."""
    view = json.loads(client.get_experiment_by_name("tiny").tags[VIEW_TAG])
    assert (view["name"], type(view["createdAt"]), type(view["state"])) == ("Compared", int, str)
    assert json.loads(view["state"])["selectedColumns"] == view["selectedColumns"]
    return view["selectedColumns"]


def test_the_table_of_an_experiment_has_the_columns_that_its_runs_are_compared_by(repository_folder: Path, client: Any):
    store = opened("first")
    store.write(Parameters({"method": "SwAV", "images_seen": "40", "task": "pre-training", "fold": "-", "seed": "1"}))
    store.write(Metrics.at_step({"loss": 1.0, "knn_accuracy_a_b": 0.5, "knn_balanced_accuracy_a_b": 0.5}, 1))
    assert columns_in(client) == OF_METHODS
    other = opened("second")
    other.write(Metrics.at_step({"knn_accuracy_c_d": 0.5}, 1))
    store.write(Metrics.at_step({"best_auc": 0.5, "best_auc_low": 0.4}, 2))
    later = ["metrics.`knn_accuracy_c_d`", "metrics.`best_auc`", "metrics.`best_auc_low`"]
    assert columns_in(client) == [*OF_METHODS, *later]


def test_cells_of_a_study_are_told_apart_by_their_tags(repository_folder: Path, client: Any):
    tags = {"study.method": "SwAV", "study.task": "covid19", "study.fold": "1"}
    opened("study").write(NestedRun("cell", "SwAV covid19", tags, {"auc": 0.5, "seconds": 1.0}, 0, 1))
    assert columns_in(client) == ["tags.`study.method`", "tags.`study.task`", "metrics.`auc`"]


def test_a_view_that_was_deleted_is_not_made_again_and_metrics_arrive(repository_folder: Path, client: Any):
    store = opened("first")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    client.delete_experiment_tag(experiment, VIEW_TAG)
    for opener in (store, opened("second")):
        opener.write(Metrics.at_step({"knn_accuracy_a_b": 0.5}, 1))
        assert client.get_run(opener.run_id).data.metrics == {"knn_accuracy_a_b": 0.5}
    assert VIEW_TAG not in client.get_experiment(experiment).tags


def test_a_server_that_takes_no_view_takes_metrics(repository_folder: Path, client: Any, monkeypatch: Any):
    store = opened("first")

    def refuse(*arguments: Any) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(store.client, "set_experiment_tag", refuse)
    store.write(Metrics.at_step({"knn_accuracy_a_b": 0.5}, 1))
    assert client.get_run(store.run_id).data.metrics == {"knn_accuracy_a_b": 0.5}


@pytest.mark.parametrize(
    "view",
    [
        "no JSON",
        "[]",
        json.dumps({"name": "Compared", "createdAt": 1, "updatedAt": 2, "state": "deflate;eJyr"}),
        json.dumps({"name": "Compared", "createdAt": 1, "selectedColumns": [], "state": '{"selectedColumns": ["a"]}'}),
    ],
)
def test_a_view_that_a_person_has_saved_stays_as_it_is(view: str):
    assert with_columns(view, ["metrics.`best_auc`"]) is None


def test_a_view_never_outgrows_what_mlflow_keeps(monkeypatch: pytest.MonkeyPatch):
    view = with_columns(empty_view(0), ["metrics.`best_auc`"])
    assert view is not None
    assert with_columns(view, ["metrics.`best_auc`"]) is None
    assert with_columns(view, [f"metrics.`knn_accuracy_{'x' * 5000}`"]) is None
    from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

    assert runs_table._LARGEST_TAG <= MAX_EXPERIMENT_TAG_VAL_LENGTH
