"""The plan and the first network of a bundle, made where no image is."""

import json

import pytest
import torch

from helpers.bundle_files import BUNDLES
from helpers.federated_sites import tiny_bundle
from monai_ext.errors import FederationError
from monai_ext.federated.bundle_config import first_network, plain_settings, plan_of


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_the_first_network_of_every_bundle_is_made_without_images_and_is_the_same_each_time(bundle, tmp_path):
    copy = tiny_bundle(tmp_path, bundle.name)
    plan = plan_of(copy, rounds=2)
    state, description = first_network(copy, plan)
    again, same = first_network(copy, plan)
    assert description == same
    assert all(torch.equal(again[name], value) for name, value in state.items())
    config = json.loads((copy / "configs" / "train.json").read_text())
    names = config.get("class_names", [])
    expected = [f"{value} = {name}" for value, name in names.items()] if isinstance(names, dict) else names
    assert list(description.classes) == expected
    assert "dataset_dir" not in description.config


def test_settings_say_what_an_evaluation_needs_and_name_no_place(tmp_path):
    bundle = tiny_bundle(tmp_path, "spark_pretrain", dataset_dir="/Zqx7")
    settings = plain_settings(bundle, plan_of(bundle, rounds=2, local_epochs=3, overrides={"window": "lung"}, seed=5))
    assert (settings["window"], settings["epochs"], settings["seed"], settings["loss_eps"]) == ("lung", 6, 5, 1e-6)
    assert "dataset_dir" not in settings


def test_the_protocol_of_a_fine_tuning_is_chosen_where_the_encoder_is_known(tmp_path):
    bundle = tiny_bundle(tmp_path, "covid19_classification")
    assert plan_of(bundle, rounds=1).overrides["protocol"] == "full"
    assert plan_of(bundle, rounds=1, pretrained="encoder.pt").overrides["protocol"] == "gradual"
    assert plan_of(bundle, rounds=1, overrides={"protocol": "linear_probe"}).overrides["protocol"] == "linear_probe"


def test_a_pre_training_takes_no_encoder_and_unknown_ids_are_refused(tmp_path):
    bundle = tiny_bundle(tmp_path, "spark_pretrain")
    with pytest.raises(FederationError, match="spark_pretrain takes no pre-trained encoder"):
        first_network(bundle, plan_of(bundle, rounds=1), pretrained="encoder.pt")
    with pytest.raises(FederationError, match="has no id imagesize at its top"):
        plan_of(bundle, rounds=1, overrides={"imagesize": 64})
    with pytest.raises(FederationError, match=r"is no bundle to train: it has no configs/train\.json"):
        plan_of(tmp_path, rounds=1)
