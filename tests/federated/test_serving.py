"""A site with real training on pictures: what it does with the weights that come, and all that it answers."""

import pickle

import pytest
import torch

from helpers.federated_sites import MARK, set_sites, tiny_bundle, two_folders, write_pictures
from helpers.labelled_pictures import write_labelled_pictures
from monai_ext.errors import FederationError
from monai_ext.federated.bundle_config import first_network, plan_of
from monai_ext.federated.record import FederatedRecord
from monai_ext.federated.rounds import train_in_rounds
from monai_ext.federated.serving import SiteServer

ALLOWED = {"loss", "val_loss", "auc", "accuracy", "macro_f1"}


def in_this_process(servers, answers):
    """Carries messages to sites in this process, and keeps all that they answer."""

    def ask(task, sites, *, weights, details):
        replies = {site: servers[site].answer(task, weights, details) for site in sites}
        answers.extend(replies.values())
        return replies

    return ask


def federated(folder, bundle, data, monkeypatch, *, bundles=None, **options):
    """Train in rounds; gives the first and last weights, the servers, the answers, and the record."""
    output = set_sites(folder, monkeypatch, dict.fromkeys(data, bundle) | (bundles or {}), data)
    plan = plan_of(bundle, rounds=2, **options)
    first, job = first_network(bundle, plan)
    servers = {site: SiteServer(site, "job") for site in data}
    answers = []
    record = FederatedRecord(folder / "server", plan, settings={})
    try:
        ask = in_this_process(servers, answers)
        last = train_in_rounds(plan, list(data), ask, first=first, job=job, record=record)
    finally:
        for server in servers.values():
            server.close()
    return first, last, servers, answers, record.content, output


def test_two_sites_train_spark_and_nothing_but_weights_and_numbers_leaves_them(tmp_path, monkeypatch):
    data = two_folders(tmp_path)
    bundle = tiny_bundle(tmp_path, "spark_pretrain")
    first, last, _, answers, record, output = federated(tmp_path, bundle, data, monkeypatch)
    assert record["images"] == {"site-1": 11, "site-2": 6}
    assert any(not torch.equal(last[name], first[name]) for name in first)
    trained = [answer for answer in answers if answer.weights]
    assert len(trained) == 4
    for answer in answers:
        assert MARK.encode() not in pickle.dumps(answer)
        assert answer.weights.keys() in (first.keys(), set())
        assert answer.metrics.keys() <= ALLOWED
        assert answer.failure == ""
    assert not torch.equal(trained[0].weights["mask_tokens.0"], trained[1].weights["mask_tokens.0"])
    assert not (bundle / "models").exists()
    assert (output / "job" / "site-1" / "spark_pretrain" / "models" / "encoder.pt").is_file()
    assert MARK not in (tmp_path / "server" / "federated.json").read_text()


def test_the_schedule_goes_on_from_round_to_round(tmp_path, monkeypatch):
    data = {"site-1": write_pictures(tmp_path / "ct", 9)}
    bundle = tiny_bundle(tmp_path, "spark_pretrain")
    _, _, servers, _, _, _ = federated(tmp_path, bundle, data, monkeypatch)
    trainer = servers["site-1"]._training._trainer
    assert (trainer.state.epoch, trainer.state.iteration) == (2, trainer.total_iterations)
    peak = trainer.schedules[0][1][0]
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * peak)


def test_a_queue_stays_at_its_site_and_goes_on(tmp_path, monkeypatch):
    data = {"site-1": write_pictures(tmp_path / "ct", 9)}
    bundle = tiny_bundle(tmp_path, "moco_v2_pretrain", queue_size=8, batch_size=8)
    first, _, servers, answers, _, _ = federated(tmp_path, bundle, data, monkeypatch)
    assert not [name for name in first if name.startswith("queue.")]
    assert [name for name in first if name.startswith("teacher.")]
    assert not [name for answer in answers for name in answer.weights if name.startswith("queue.")]
    assert servers["site-1"]._training._trainer.network.queue.written == 16


def test_two_sites_fine_tune_a_classifier(tmp_path, monkeypatch):
    data = {f"site-{n}": write_labelled_pictures(tmp_path / f"{MARK} {n}") for n in (1, 2)}
    bundle = tiny_bundle(tmp_path, "covid19_classification", head_only_epochs=1)
    _, _, _, answers, record, _ = federated(tmp_path, bundle, data, monkeypatch)
    assert record["status"] == "finished"
    assert {"loss", "auc"} <= record["rounds"][-1]["mean"].keys()
    assert not [answer for answer in answers if MARK.encode() in pickle.dumps(answer)]


def test_a_site_whose_bundle_has_its_classes_in_another_order_is_refused_before_it_trains(tmp_path, monkeypatch):
    data = {f"site-{n}": write_labelled_pictures(tmp_path / f"{MARK} {n}") for n in (1, 2)}
    bundle = tiny_bundle(tmp_path, "covid19_classification")
    other = tiny_bundle(tmp_path / "other", "covid19_classification", class_names=["COVID", "NonCOVID"])
    both = r"site-1 has \[NonCOVID, COVID\] and site-2 has \[COVID, NonCOVID\]\. Nothing was trained"
    with pytest.raises(FederationError, match=both):
        federated(tmp_path, bundle, data, monkeypatch, bundles={"site-2": other})


def test_what_fails_at_a_site_is_told_without_names_and_logged_with_them(tmp_path, monkeypatch, caplog):
    bundle = tiny_bundle(tmp_path, "spark_pretrain")
    empty = tmp_path / f"{MARK} empty"
    empty.mkdir()
    set_sites(tmp_path, monkeypatch, {"site-1": bundle}, {"site-1": empty})
    plan = plan_of(bundle, rounds=1)
    answer = SiteServer("site-1", "job").answer("describe", {}, {"plan": plan.as_plain(), "numbers": {"site-1": 0}})
    assert answer.failure
    assert MARK.encode() not in pickle.dumps(answer)
    assert MARK in caplog.text


def test_a_site_with_another_bundle_or_asked_out_of_order_says_so(tmp_path, monkeypatch):
    bundle = tiny_bundle(tmp_path, "byol_pretrain")
    set_sites(tmp_path, monkeypatch, {"site-1": bundle}, {"site-1": tmp_path})
    plan = plan_of(tiny_bundle(tmp_path, "spark_pretrain"), rounds=1)
    server = SiteServer("site-1", "job")
    asked = server.answer("describe", {}, {"plan": plan.as_plain(), "numbers": {"site-1": 0}})
    assert asked.failure.startswith("FederationError: The server trains spark_pretrain, and this site's bundle is")
    assert MARK not in asked.failure
    assert "asked was 'train'" not in server.answer("train", {}, {}).failure
