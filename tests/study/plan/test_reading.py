"""Plans are read strictly, and everything that is wrong is told at once."""

import json

import pytest

from monai_ext.errors import StudyError
from monai_ext.study.plan import narrowed, parse_plan, read_plan

GOOD = {
    "methods": {"scratch": {}, "ours": {"file": "encoder.pt"}},
    "tasks": {"CT": {"bundle": "covid19_classification", "dataset_dir": "data"}},
    "fractions": [0.1, 1],
    "protocols": {"probe": {"subsets": 10}, "fine_tuning": {"fractions": [0.5], "overrides": {"epochs": 3}}},
}


def test_a_protocol_takes_the_plans_grid_or_its_own():
    plan = parse_plan(GOOD)
    probe, fine_tuning = plan.protocols
    assert probe.fractions == (1, 0.1)
    assert probe.subsets == 10
    assert fine_tuning.fractions == (0.5,)
    assert plan.reference == "scratch"


def test_everything_that_is_wrong_is_listed_with_the_nearest_key():
    bad = {**GOOD, "tasks": {"CT": {"bundel": "x"}}, "fractoins": [1], "protocols": {"prob": {}, "knn": {"subsets": 0}}}
    with pytest.raises(StudyError) as refusal:
        parse_plan(bad)
    text = str(refusal.value)
    for part in ("'fractions'?", "'bundle'?", "'probe'?", "whole number from 1", "nothing was started"):
        assert part in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": {}}, "methods: there is none"),
        ({"tasks": {}}, "tasks: there is none"),
        ({"protocols": {}}, "protocols: there is none"),
        ({"fractions": [], "protocols": {"probe": {}}}, "neither fractions nor per_class"),
        ({"fractions": [0, 1]}, r"fractions in \(0, 1\]"),
        ({"reference": "scrach"}, "did you mean 'scratch'"),
        ({"methods": {"a": {"file": "x", "bundle": "y"}}}, "one of bundle, file, run"),
        ({"methods": {"gray levels": {}}}, "trivial predictor"),
        ({"protocols": {"knn": {"overrides": {"epochs": 3}}}}, "only fine_tuning runs a config"),
        ({"protocols": {"probe": {"methods": ["our"]}}}, "did you mean 'ours'"),
    ],
)
def test_a_plan_without_sense_is_refused(change, words):
    with pytest.raises(StudyError, match=words):
        parse_plan({**GOOD, **change})


@pytest.mark.parametrize(
    "overrides",
    [
        {"validate::images::section": "test"},
        {"validate::images::splits": "other.json"},
        {"best_metric": "test_auc"},
    ],
)
def test_choosing_by_test_is_refused(overrides):
    with pytest.raises(StudyError, match="never by test"):
        parse_plan({**GOOD, "overrides": overrides})


def test_what_the_study_sets_is_no_override():
    with pytest.raises(StudyError, match="the study sets this itself"):
        parse_plan({**GOOD, "overrides": {"seed": 3}})


def test_settings_change_a_plan_from_the_command_line(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(GOOD))
    plan = read_plan(path, settings=["tasks::CT::dataset_dir=/data/covid", "fractions=[0.25]"])
    assert plan.tasks[0].dataset_dir == "/data/covid"
    assert plan.protocols[0].fractions == (0.25,)
    assert plan.name == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not JSON"), ('{"name": "a", "name": "b"}', "'name' is there twice"), ("[]", "an object with keys")],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, text, words):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(StudyError, match=words):
        read_plan(path)


def test_a_setting_without_a_value_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(GOOD))
    with pytest.raises(StudyError, match="KEY=VALUE"):
        read_plan(path, settings=["fractions"])


def test_smaller_budgets_are_methods_of_their_own_family():
    method = {"file": "spark/{images}.pt", "images_seen": 50000, "budgets": [5000, 25000], "pretraining_data": "pool"}
    plan = parse_plan({**GOOD, "methods": {"scratch": {}, "SparK": method}})
    assert [method.name for method in plan.methods] == ["scratch", "SparK", "SparK, 5000 images", "SparK, 25000 images"]
    assert [method.value for method in plan.methods[1:]] == ["spark/50000.pt", "spark/5000.pt", "spark/25000.pt"]
    assert {method.family for method in plan.methods[1:]} == {"SparK"}
    probe, fine_tuning = plan.protocols
    assert plan.methods_of(probe) == plan.methods
    assert plan.methods_of(fine_tuning) == plan.methods[:2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budgets": [60000]}, "smaller than images_seen"),
        ({"images_seen": None}, "need images_seen"),
        ({"file": "spark.pt"}, "where the number of images stands"),
        ({"budgets": [0]}, "whole numbers from 1"),
    ],
)
def test_budgets_without_sense_are_refused(change, words):
    method = {"file": "spark/{images}.pt", "images_seen": 50000, "budgets": [5000], **change}
    with pytest.raises(StudyError, match=words):
        parse_plan({**GOOD, "methods": {"scratch": {}, "SparK": method}})


def test_paths_are_looked_for_in_the_folders_that_are_named(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two" / "data").mkdir(parents=True)
    (tmp_path / "two" / "encoder.pt").touch()
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(GOOD))
    folders = [tmp_path / "one", tmp_path / "two"]
    plan = read_plan(path, data=folders, encoders=folders)
    assert plan.tasks[0].dataset_dir == str(tmp_path / "two" / "data")
    assert plan.methods[1].value == str(tmp_path / "two" / "encoder.pt")
    assert read_plan(path, data=folders[:1]).tasks[0].dataset_dir == "data"


def test_a_part_of_a_plan_is_a_plan():
    plan = narrowed(parse_plan(GOOD), protocols=["probe"], methods=["scratch"])
    assert [protocol.name for protocol in plan.protocols] == ["probe"]
    assert [method.name for method in plan.methods] == ["scratch"]
    with pytest.raises(StudyError, match="did you mean 'probe'"):
        narrowed(plan, protocols=["prob"])
    with pytest.raises(StudyError, match="compares with 'scratch'"):
        narrowed(parse_plan(GOOD), methods=["ours"])


def test_a_section_may_be_made_smaller():
    task = {"bundle": "covid19_classification", "splits": {"most": {"training": 100, "tests": 3}}}
    with pytest.raises(StudyError, match="did you mean 'test'"):
        parse_plan({**GOOD, "tasks": {"CT": task}})
