"""Settings of a model written out in a config; what a user may choose stays an expression."""

import json

import pytest

from helpers.bundle_files import CLASSIFICATION
from monai_ext.sharing.audit.config_text import flattened
from monai_ext.sharing.literal_configs import literal_config

SETTINGS = {
    "backbone": "resnet18",
    "class_names": ["a", "b"],
    "window_hu": [150.0, -1350.0],
    "image_size": 64,
    "in_channels": 1,
}


def test_what_follows_from_settings_is_written_out_and_the_way_there_is_dropped() -> None:
    config = {
        "metadata_path": "$str(@model_path) + '.json'",
        "model_path": "models/model.pt",
        "settings": "$json.load(@metadata_path)",
        "backbone": "$@settings.backbone",
        "class_names": "$@settings.class_names",
        "black_hu": "$min(@settings.window_hu)",
        "network_def": {"_target_": "$'monai.networks.nets.' + @backbone", "num_classes": "$len(@class_names)"},
    }
    assert literal_config(config, SETTINGS) == {
        "model_path": "models/model.pt",
        "backbone": "resnet18",
        "class_names": ["a", "b"],
        "black_hu": -1350.0,
        "network_def": {"_target_": "monai.networks.nets.resnet18", "num_classes": 2},
    }


def test_what_a_user_chooses_stays_and_the_config_given_is_not_changed() -> None:
    config = {
        "bundle_root": "$str(next(pathlib.Path().glob('bundles/x'), '.'))",
        "output_dir": "$@bundle_root + '/predictions'",
        "device": "$torch.device('cpu')",
        "size": ["@image_size", "@image_size"],
        "image_size": "$@settings.image_size",
        "name": "$@settings.a_setting_that_is_not_there",
        "run": ["$@evaluator.run()"],
    }
    before = json.dumps(config)
    literal = literal_config(config, SETTINGS)
    assert json.dumps(config) == before
    kept = ("output_dir", "device", "size", "name", "run")
    assert literal == {"bundle_root": ".", "image_size": 64} | {name: config[name] for name in kept}


@pytest.mark.parametrize("bundle", CLASSIFICATION, ids=lambda path: path.name)
def test_no_target_of_our_inference_is_computed_any_longer(bundle) -> None:
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    literal = literal_config(config, SETTINGS)
    targets = [value for place, value in flattened(literal) if place.endswith("_target_")]
    assert targets
    assert not [target for target in targets if target.startswith(("$", "@", "%"))]
