"""Settings are the plain values of the config that runs, with what follows from them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from monai.bundle import ConfigParser

from monai_ext.bundle import chosen_settings


def described() -> SimpleNamespace:
    return SimpleNamespace(settings={"images_seen": 96})


CONFIG = {
    "_meta_": {"version": "1"},
    "bundle_root": "/somewhere/with/a/name",
    "dataset_dir": "/data/of/a/patient",
    "epochs": 3,
    "images_seen": None,
    "window": [40, 400],
    "classes": {"0": "no", "1": "yes"},
    "network": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1},
    "train": {"views": {"_target_": "torch.nn.Identity"}},
    "name": "$'a' + 'b'",
    "handlers": ["@network"],
    "length": {"_target_": f"{__name__}.described"},
    "settings": {"_target_": "monai_ext.bundle.chosen_settings", "described": ["@length", {"eps": "@epochs"}]},
}


def test_plain_values_with_overrides_and_what_components_say():
    parser = ConfigParser(CONFIG)
    parser["epochs"] = 5
    assert parser.get_parsed_content("settings") == {
        "epochs": 5,
        "images_seen": 96,
        "window": [40, 400],
        "classes": {"0": "no", "1": "yes"},
        "eps": 5,
    }


def test_outside_of_a_config_it_says_where_it_belongs():
    with pytest.raises(RuntimeError, match="component of a MONAI config"):
        chosen_settings()
