"""A study in MLflow: one parent run that goes on, cells nested in it, the report as its artifact."""

import pytest

from helpers.fake_records import write_fake_study
from monai_ext.study.records.index import read_index
from monai_ext.study.tracking import StudyTracking


@pytest.fixture
def client(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def test_cells_are_nested_and_a_study_that_goes_on_stays_one_run(client, tmp_path):
    folder = write_fake_study(tmp_path / "study", {"scratch": 1.0, "SparK": 2.0}, folds=1, patients=10)
    cells = read_index(folder)
    report = tmp_path / "report.html"
    report.write_text("x")
    for part in (cells[:3], cells[3:5]):
        tracking = StudyTracking("fake", folder, parameters={"cells": 8})
        for cell in part:
            tracking.log_cell(cell)
        tracking.log_report(report)
        tracking.close()
    experiment = client.get_experiment_by_name("fake").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = [run for run in runs if run.data.tags["monai_ext.study_record"] == "parent"]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(nested) == 5
    assert {run.data.tags["study.method"] for run in nested} == {"scratch", "SparK"}
    assert all("auc" in run.data.metrics for run in nested)
    assert parent.info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "report")] == ["report/report.html"]


def test_a_store_that_refuses_does_not_stop_the_study(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    folder = write_fake_study(tmp_path / "study", {"scratch": 1.0, "SparK": 2.0}, folds=1, patients=10)
    tracking = StudyTracking("fake", folder, parameters={})
    tracking.log_cell(read_index(folder)[0])
    tracking.close()
    assert "the study goes on without" in caplog.text
