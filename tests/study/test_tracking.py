"""A study in MLflow: one parent run that goes on, cells nested in it, the report as its artifact."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_records import write_fake_study
from monai_ext.study.records import StudyFolder
from monai_ext.study.records.index import read_index
from monai_ext.study.tracking import StudyTracking

NOBODY = "http://127.0.0.1:9"
"""An address at which no server listens."""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return write_fake_study(tmp_path / "study", {"scratch": 1.0, "SparK": 2.0}, folds=1, patients=10)


def runs_of(client: Any) -> tuple[Any, list[Any]]:
    """The parent run and those nested in it."""
    runs = client.search_runs([client.get_experiment_by_name("fake").experiment_id])
    (parent,) = [run for run in runs if run.data.tags["monai_ext.study_record"] == "parent"]
    return parent, [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def test_cells_are_nested_and_a_study_that_goes_on_stays_one_run(client, folder, tmp_path):
    cells = read_index(folder)
    report = tmp_path / "report.html"
    report.write_text("x")
    for part in (cells[:3], cells[3:5]):
        with StudyTracking("fake", folder, parameters={"cells": 8}) as tracking:
            for cell in part:
                tracking.log_cell(cell)
            tracking.log_report(report)
    parent, nested = runs_of(client)
    assert len(nested) == 5
    assert {run.data.tags["study.method"] for run in nested} == {"scratch", "SparK"}
    assert all("auc" in run.data.metrics and run.info.status == "FINISHED" for run in nested)
    assert (parent.info.status, parent.data.params) == ("FINISHED", {"cells": "8"})
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "report")] == ["report/report.html"]


def test_what_mlflow_did_not_take_waits_in_the_folder_until_the_study_goes_on(client, folder, monkeypatch):
    cells = read_index(folder)
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", NOBODY)
        with StudyTracking("fake", folder, parameters={"cells": 8}) as tracking:
            for cell in cells[:3]:
                tracking.log_cell(cell)
    assert len(list(folder.path.glob("mlflow_*.jsonl"))) == 1
    with StudyTracking("fake", folder, parameters={"cells": 8}) as tracking:
        tracking.log_cell(cells[3])
    parent, nested = runs_of(client)
    assert {run.data.tags["monai_ext.study_record"] for run in nested} == {cell.name for cell in cells[:4]}
    assert len(nested) == 4
    assert (parent.info.status, parent.data.params) == ("FINISHED", {"cells": "8"})
    assert not list(folder.path.glob("mlflow_*.jsonl"))


def test_the_parent_says_how_the_study_ended(client, folder):
    with StudyTracking("fake", folder, parameters={}) as tracking:
        tracking.failed_cells = 2
    parent, _ = runs_of(client)
    assert (parent.info.status, parent.data.tags["monai_ext.error"]) == ("FAILED", "2 cells failed.")
    with pytest.raises(KeyboardInterrupt), StudyTracking("fake", folder, parameters={}):
        raise KeyboardInterrupt
    assert runs_of(client)[0].info.status == "KILLED"


def test_a_damaged_record_is_told_and_costs_its_own_run_only(client, folder, caplog):
    first, second = read_index(folder)[:2]
    (folder.records / f"{first.name}.json").write_text("{")
    with caplog.at_level(logging.WARNING), StudyTracking("fake", folder, parameters={}) as tracking:
        tracking.log_cell(first)
        tracking.log_cell(second)
    assert "A cell is not in MLflow" in caplog.text
    assert [run.data.tags["monai_ext.study_record"] for run in runs_of(client)[1]] == [second.name]


def test_a_store_that_refuses_does_not_stop_the_study(client, folder, caplog):
    client.delete_experiment(client.create_experiment("fake"))
    with StudyTracking("fake", folder, parameters={}) as tracking:
        tracking.log_cell(read_index(folder)[0])
        tracking.log_report(folder.path / "study.json")
    assert "was deleted; restore it with" in caplog.text
    assert "The study goes on without" in caplog.text


def test_a_study_that_is_not_tracked_leaves_nothing(folder):
    before = sorted(folder.path.rglob("*"))
    with StudyTracking("fake", folder, parameters={}, enabled=False) as tracking:
        tracking.log_cell(read_index(folder)[0])
        tracking.log_report(folder.path / "report.html")
    assert sorted(folder.path.rglob("*")) == before
