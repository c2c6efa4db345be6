"""``python -m monai_ext study``: plan, run, status, report and clean, one after the other."""

import json
from pathlib import Path

import pytest

from helpers.small_study import small_plan, write_study_pictures
from monai_ext.cli import main


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study_command")
    data = write_study_pictures(folder / "pictures")
    content = small_plan(data, protocols={"probe": {"fractions": [1, 0.5]}, "knn": {"fractions": [1]}})
    plan = folder / "small.json"
    plan.write_text(json.dumps(content))
    return str(plan), str(folder / "results")


def test_the_commands_in_the_order_in_which_they_are_used(study, capsys):
    plan, results = study
    assert main(["study", "plan", plan, "--output", results]) == 0
    printed = capsys.readouterr().out
    assert "15 cells, 15 of them missing" in printed
    assert printed.count("a timed cell") == 3
    assert main(["study", "run", plan, "--output", results, "--workers", "2", "--no-tracking"]) == 0
    assert "15 were computed, 0 failed" in capsys.readouterr().out
    assert main(["study", "status", results]) == 0
    assert "15 of 15 cells have records" in capsys.readouterr().out
    assert main(["study", "report", plan, "--output", results]) == 0
    assert "report.html" in capsys.readouterr().out
    assert main(["study", "clean", results]) == 0
    assert "features" in capsys.readouterr().out
    assert main(["study", "plan", plan, "--output", results]) == 0
    assert "15 cells, 0 of them missing" in capsys.readouterr().out


def test_a_plan_that_is_wrong_ends_with_its_problems(study, tmp_path, capsys):
    plan = tmp_path / "wrong.json"
    plan.write_text('{"methods": {"a": {}}, "taskss": {}}')
    assert main(["study", "run", str(plan)]) == 2
    assert "did you mean 'tasks'" in capsys.readouterr().err


def test_a_folder_of_another_study_is_refused(study, tmp_path, capsys):
    plan, results = study
    content = json.loads(Path(plan).read_text()) | {"name": "other"}
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert main(["study", "run", str(tmp_path / "other.json"), "--output", results, "--no-tracking"]) == 2
    assert "that of the study 'small'" in capsys.readouterr().err
