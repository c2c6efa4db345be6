"""What the server may set at the sites, and what only a site sets."""

import json

import pytest

from monai_ext.errors import FederationError
from monai_ext.federated.plan import SITES_VARIABLE, FederatedPlan, site_settings


def test_the_schedules_follow_the_length_of_all_rounds():
    plan = FederatedPlan("spark_pretrain", rounds=5, local_epochs=3, overrides={"image_size": 64})
    assert plan.all_overrides == {"image_size": 64, "epochs": 15}
    assert FederatedPlan.from_plain(json.loads(json.dumps(plan.as_plain()))) == plan


@pytest.mark.parametrize(
    "override",
    [
        {"window": "$__import__('os').getcwd()"},
        {"window": "@dataset_dir"},
        {"window": "%/etc/passwd"},
        {"window": ["full", "$1"]},
        {"network_def": {"_target_": "os.system"}},
        {"train::trainer::_target_": "os.system"},
        {"dataset_dir": "/data"},
        {"output_dir": "/data"},
        {"_meta_": 1},
    ],
)
def test_a_server_cannot_have_a_site_run_or_open_something(override):
    with pytest.raises(FederationError, match="would name a place or a program at the sites"):
        FederatedPlan("spark_pretrain", rounds=1, overrides=override)


def test_a_bundle_is_named_by_its_name_alone_and_rounds_are_counted_from_one():
    with pytest.raises(FederationError, match="by its folder's name alone"):
        FederatedPlan("../../etc", rounds=1)
    with pytest.raises(FederationError, match="at least one round of one local epoch; received 0 rounds"):
        FederatedPlan("spark_pretrain", rounds=0)


def test_a_site_reads_its_own_entry_of_its_own_file(tmp_path, monkeypatch):
    file = tmp_path / "sites.json"
    entry = {"bundle": "/b", "output_dir": "/o", "dataset_dir": "/d", "fold": 2, "tracking": False}
    file.write_text(json.dumps({"site-1": entry}))
    monkeypatch.setenv(SITES_VARIABLE, str(file))
    settings = site_settings("site-1")
    assert settings.overrides == {"dataset_dir": "/d", "fold": 2}
    assert settings.tracking is False
    with pytest.raises(FederationError, match=r"has no settings of site-2: .*Expected is JSON such as") as refusal:
        site_settings("site-2")
    assert str(tmp_path) not in refusal.value.public


def test_what_all_sites_do_alike_is_no_setting_of_one(tmp_path, monkeypatch):
    file = tmp_path / "sites.json"
    file.write_text(json.dumps({"a": {"bundle": "/b", "output_dir": "/o", "dataset_dir": "/d", "window": "lung"}}))
    monkeypatch.setenv(SITES_VARIABLE, str(file))
    with pytest.raises(FederationError, match="window: what all sites have to do alike is set by the job"):
        site_settings("a")
    monkeypatch.delenv(SITES_VARIABLE)
    with pytest.raises(FederationError, match=f"{SITES_VARIABLE} is not set"):
        site_settings("a")
