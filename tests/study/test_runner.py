"""A study does what is missing and nothing else, and its numbers depend on nothing but its inputs."""

import json
import os
import signal
from dataclasses import asdict

import numpy as np
import pytest
import torch
from monai.networks.nets import ResNet

from helpers.small_study import results_of, run_small, small_plan, write_study_pictures
from helpers.tiny_resnet import TINY_RESNET
from monai_ext.errors import StudyError
from monai_ext.study.executors import LocalExecutor
from monai_ext.study.executors.job import Outcome
from monai_ext.study.plan import parse_plan
from monai_ext.study.preparation import prepare
from monai_ext.study.records import StudyFolder
from monai_ext.study.records.index import foreign_records
from monai_ext.study.report.pictures import pictures
from monai_ext.study.report.results import load_results
from monai_ext.study.status import study_status


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, run_small(small_plan(data), folder)


def test_every_cell_leaves_a_record_with_a_prediction_for_every_test_image(finished):
    folder, result = finished
    assert not result.failed
    assert len(result.computed) == 24  # 3 folds x (all + half x 3 subsets) x (scratch + gray levels)
    record = next(iter(results_of(folder).values()))
    predictions = record["results"]["predictions"]
    assert len(predictions["ids"]) == len(predictions["probabilities"]) == len(predictions["labels"]) == 12
    assert not any("patient" in name or ".png" in name for name in predictions["ids"] + predictions["groups"])
    assert {"encoder_sha256", "config_sha256", "split_hash", "data_fingerprint", "seed"} <= set(
        next(r for r in results_of(folder).values() if r["cell"]["protocol"] == "probe")["inputs"]
    )


def test_run_again_it_computes_nothing(finished, data):
    folder, _ = finished
    again = run_small(small_plan(data), folder)
    assert not again.computed
    assert len(again.reused) == 24


def test_a_changed_plan_reuses_what_did_not_change(finished, data):
    folder, _ = finished
    wider = run_small(small_plan(data, fractions=[1, 0.75, 0.5]), folder)
    assert len(wider.reused) == 24
    assert len(wider.computed) == 18


def test_records_do_not_depend_on_what_a_worker_did_before(finished, data, tmp_path):
    class OneByOne(LocalExecutor):
        """Every cell in a process of its own."""

        def run(self, jobs):
            for job in list(jobs):
                for cell in job.cells:
                    for _ in super().run([type(job)((cell,), job.task, job.folder)]):
                        pass
                yield Outcome(job)

    content = small_plan(data, protocols={"probe": {"subsets": 1, "fractions": [0.5]}})
    run_small(content, tmp_path, executor=OneByOne())
    alone, together = results_of(tmp_path), results_of(finished[0])
    assert alone
    assert all(together[name] == record for name, record in alone.items())


def test_swapped_test_labels_change_scores_and_nothing_else(data, tmp_path):
    swapped = write_study_pictures(tmp_path / "swapped", swap_test=True)
    results = []
    for number, folder in enumerate((data, swapped)):
        content = small_plan(folder, protocols={"probe": {"fractions": [0.5]}, "knn": {"fractions": [0.5]}})
        content["tasks"]["pictures"]["splits"] = {"test": "official"}
        run_small(content, tmp_path / f"study {number}")
        results.append(sorted(results_of(tmp_path / f"study {number}").values(), key=lambda r: json.dumps(r["cell"])))
    for honest, other in zip(*results, strict=True):
        assert honest["cell"] == other["cell"]
        for key in ("chosen", "threshold"):
            assert honest["results"][key] == other["results"][key]
        shares = [r["results"]["predictions"]["probabilities"] for r in (honest, other)]
        assert shares[0] == shares[1]
        scores = [r["results"]["metrics"]["auc"] for r in (honest, other)]
        assert scores[0] == pytest.approx(1 - scores[1])


def test_a_smaller_section_keeps_the_shares_of_classes_and_other_images_are_never_looked_at(data, tmp_path):
    content = small_plan(data, fractions=[1])
    content["tasks"]["pictures"]["splits"] = {"test": "official", "most": {"training": 6, "test": 4}}
    study = prepare(parse_plan(content), StudyFolder(tmp_path))
    task = study.tasks["pictures"]
    for name, count in (("training", 6), ("validation", 12), ("test", 4)):
        places = task.section(name, fold=0)
        assert len(places) == count
        assert task.numbers[places].sum() == count / 2
    assert len(task.used) == 22
    assert not run_small(content, tmp_path).failed
    for file in (tmp_path / "features").glob("[!i]*.npy"):
        assert len(np.load(file)) == 22


def test_smaller_budgets_are_judged_at_both_ends_and_compared_with_nothing(data, tmp_path):
    for images in (10, 20):
        torch.manual_seed(images)
        own = {key: value for key, value in TINY_RESNET.items() if key != "_target_"}
        network = ResNet(**own | {"n_input_channels": 1})
        torch.save({"state_dict": network.state_dict()}, tmp_path / f"{images}.pt")
    method = {"file": str(tmp_path / "{images}.pt"), "images_seen": 20, "budgets": [10]}
    content = small_plan(data, methods={"scratch": {}, "ours": method}, fractions=[1, 0.75, 0.5])
    run_small(content, tmp_path / "study")
    sizes = {r["cell"]["size"] for r in results_of(tmp_path / "study").values() if r["cell"]["method"] != "ours"}
    assert sizes == {"training", "0.75", "0.5"}
    ours = [r["cell"] for r in results_of(tmp_path / "study").values() if r["cell"]["method"] == "ours, 10 images"]
    assert {cell["size"] for cell in ours} == {"training", "0.5"}
    StudyFolder(tmp_path / "study").keep_plan(asdict(parse_plan(content)))
    results = load_results(StudyFolder(tmp_path / "study"))
    assert {key[-1] for key in results.against_reference} == {"ours"}
    assert [picture.name for picture in pictures(results) if picture.name.startswith("budget_")]


def test_a_failing_cell_is_tried_twice_and_the_others_go_on(data, tmp_path):
    content = small_plan(data, protocols={"probe": {}, "fine_tuning": {"fractions": [0.5], "folds": [0]}})
    content["protocols"]["fine_tuning"]["overrides"] = {"epochs": 1, "window": "no such window"}
    result = run_small(content, tmp_path)
    ((name, reason),) = result.failed.items()
    assert "window" in reason
    assert len(result.computed) == 12
    status = study_status(StudyFolder(tmp_path))
    assert status.count == status.all - 1
    assert list(status.failed.values()) == [reason]
    assert name not in result.computed


def test_a_process_that_is_killed_costs_one_try(data, tmp_path):
    class Killing(LocalExecutor):
        """Kills the first process that it starts."""

        struck = False

        def _start(self, job, device):
            running = super()._start(job, device)
            if not self.struck:
                os.kill(running.process.pid, signal.SIGKILL)
                self.struck = True
            return running

    result = run_small(small_plan(data), tmp_path, executor=Killing())
    assert not result.failed
    assert len(result.computed) == 24


def test_a_process_beyond_its_memory_is_ended_and_told(data, tmp_path, caplog):
    content = small_plan(data, protocols={"fine_tuning": {"fractions": [1], "folds": [0]}})
    result = run_small(content, tmp_path, executor=LocalExecutor(memory_limit_mib=1))
    assert all("more than the limit of 1 MiB" in reason for reason in result.failed.values())
    assert "more than the limit of 1 MiB" in caplog.text


def test_an_edited_record_stops_the_study(data, tmp_path):
    content = small_plan(data, protocols={"probe": {"fractions": [1], "folds": [0]}})
    run_small(content, tmp_path)
    path = next((tmp_path / "records").glob("*.json"))
    path.write_text(path.read_text().replace('"n_validation": ', '"n_validation": 1'))
    with pytest.raises(StudyError, match="was edited"):
        run_small(content, tmp_path)


def test_records_of_another_version_are_not_mixed_in(data, tmp_path, monkeypatch):
    content = small_plan(data, protocols={"probe": {"fractions": [1], "folds": [0]}})
    first = run_small(content, tmp_path)
    monkeypatch.setattr("monai_ext.study.cells.expansion.PROTOCOL_VERSION", 99)
    second = run_small(content, tmp_path)
    assert len(second.computed) == len(first.computed)
    strangers, by_version = foreign_records(StudyFolder(tmp_path), second.cells)
    assert len(strangers) == sum(map(len, by_version.values())) == len(first.computed)


def test_a_full_disk_stops_the_study_with_what_to_do(data, tmp_path):
    class Full:
        def run(self, jobs):
            for job in jobs:
                yield Outcome(job, ended="OSError: [Errno 28] No space left on device")

    with pytest.raises(StudyError, match="free space and run the study again"):
        run_small(small_plan(data), tmp_path, executor=Full())
