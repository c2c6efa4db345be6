"""The server's rounds, with sites that are functions: what is averaged, who is lost, when it ends."""

import json
from dataclasses import replace

import pytest
import torch

from monai_ext.errors import FederationError
from monai_ext.federated.agreement import SiteDescription
from monai_ext.federated.answer import Answer
from monai_ext.federated.plan import FederatedPlan
from monai_ext.federated.record import FederatedRecord
from monai_ext.federated.rounds import train_in_rounds

PLAN = FederatedPlan("spark_pretrain", rounds=3)
JOB = SiteDescription(classes=("a", "b"), network="n")
STEP = {"site-1": 1.0, "site-2": 3.0, "site-3": 5.0}
IMAGES = {"site-1": 30, "site-2": 10, "site-3": 10}


class Sites:
    """Sites that add a number of their own to the weight; some answer otherwise in a round."""

    def __init__(self, **otherwise):
        self.otherwise = {name.replace("_", "-"): value for name, value in otherwise.items()}
        self.asked = []

    def __call__(self, task, sites, *, weights, details):
        self.asked.append((task, details.get("round"), list(sites)))
        answers = {site: self.answer(site, task, weights, details) for site in sites}
        return {site: answer for site, answer in answers.items() if answer is not None}

    def answer(self, site, task, weights, details):
        when, answer = self.otherwise.get(site, (None, None))
        if when == (task, details.get("round")):
            return answer
        if task == "describe":
            return Answer(description=replace(JOB, images=IMAGES[site]).as_plain(), images=IMAGES[site])
        if task == "train":
            trained = {"w": weights["w"] + STEP[site]}
            return Answer(weights=trained, metrics={"loss": STEP[site]}, images=IMAGES[site])
        return Answer(metrics={"val_loss": float(weights["w"])}, images=IMAGES[site])


def run(tmp_path, sites, names=("site-2", "site-1"), **options):
    record = FederatedRecord(tmp_path / "out", PLAN, settings={"image_size": 64})
    weights = train_in_rounds(PLAN, names, sites, first={"w": torch.zeros(1)}, job=JOB, record=record, **options)
    return weights, json.loads((tmp_path / "out" / "federated.json").read_text())


def test_rounds_average_by_images_and_the_record_says_who_gave_what(tmp_path):
    weights, record = run(tmp_path, Sites())
    assert weights["w"].item() == pytest.approx(3 * (30 * 1 + 10 * 3) / 40)
    assert record["status"] == "finished"
    assert [list(entry["sites"]) for entry in record["rounds"]] == [["site-1", "site-2"]] * 3
    assert record["rounds"][1]["mean"] == {"loss": 1.5, "val_loss": 3.0}
    model = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert torch.equal(model["w"], weights["w"])
    described = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (described["rounds"], described["sites"], described["image_size"]) == (3, ["site-1", "site-2"], 64)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "it did not answer"),
        (
            Answer(failure="DatasetError: The picture <file> is damaged."),
            "DatasetError: The picture <file> is damaged.",
        ),
        (Answer(weights={"w": torch.tensor([float("nan")])}, images=5), "its entry w holds values that are not finite"),
        (Answer(weights={"w": torch.zeros(1)}, images=0), "it has no training images"),
    ],
)
def test_a_site_that_is_lost_in_round_two_is_told_and_the_others_go_on(tmp_path, caplog, answer, reason):
    sites = Sites(site_2=(("train", 2), answer))
    weights, record = run(tmp_path, sites)
    assert weights["w"].item() == pytest.approx(1.5 + 1 + 1)
    assert [list(entry["sites"]) for entry in record["rounds"]] == [["site-1", "site-2"], ["site-1"], ["site-1"]]
    assert record["lost"] == {"site-2": {"round": 2, "reason": f"train: {reason}"}}
    assert f"site-2 is lost in round 2 while it was to train: {reason}. The training goes on without it." in caplog.text
    assert ("train", 3, ["site-1"]) in sites.asked


def test_with_too_few_sites_the_training_ends_and_keeps_the_last_complete_round(tmp_path):
    sites = Sites(site_2=(("train", 2), None))
    with pytest.raises(FederationError, match=r"ended in round 2: 1 sites are left of at least 2 \(min_sites\)"):
        run(tmp_path, sites, min_sites=2)
    model = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    assert model["w"].item() == pytest.approx(1.5)


def test_different_class_lists_are_refused_before_round_one(tmp_path):
    other = Answer(description=replace(JOB, classes=("b", "a")).as_plain())
    sites = Sites(site_2=(("describe", None), other))
    with pytest.raises(FederationError, match=r"\[a, b\] and site-2 has \[b, a\]"):
        run(tmp_path, sites)
    assert [task for task, *_ in sites.asked] == ["describe"]


def test_a_site_that_cannot_open_its_data_does_not_keep_the_others(tmp_path):
    failed = Answer(failure="DatasetError")
    _, record = run(tmp_path, Sites(site_3=(("describe", None), failed)), names=("site-1", "site-2", "site-3"))
    assert record["lost"]["site-3"] == {"round": 0, "reason": "describe: DatasetError"}
    assert record["images"] == {"site-1": 30, "site-2": 10}


def test_sites_have_numbers_in_the_order_of_their_names(tmp_path):
    seen = {}

    def ask(task, sites, *, weights, details):
        seen.update(details.get("numbers", {}))
        return Sites()(task, sites, weights=weights, details=details)

    run(tmp_path, ask)
    assert seen == {"site-1": 0, "site-2": 1}
