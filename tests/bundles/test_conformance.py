"""What holds for the configs of every bundle; a new bundle is covered by lying in ``bundles/``."""

import inspect
import json
import re
import sys
from pathlib import Path
from pydoc import locate

import pytest
from monai.bundle import ConfigComponent, ConfigParser
from monai.bundle.properties import InferProperties, MetaProperties, TrainProperties

from helpers.bundle_files import (
    BUNDLES,
    CLASSIFICATION,
    OVERLAYS,
    REPOSITORY,
    SEGMENTATION,
    STANDALONE,
    VOLUMES,
    merged_config,
    walk,
)
from monai_ext.bundle.overrides import unknown_ids

CONFIGS = ("train", "inference", *OVERLAYS)
REFERENCE = {
    "pretrain": "spark_pretrain",
    "classification": "covid19_classification",
    "segmentation": "lung_infection_segmentation",
}
"""The bundle of each family that the others are compared with."""
IDS = {
    "pretrain": [
        *("bundle_root", "dataset_dir", "labelled_dirs", "resume", "output_dir", "run_name", "device"),
        *("backbone", "in_channels", "image_size", "window", "batch_size", "epochs", "images_seen"),
        *(
            "keep_at_images",
            "sample_epochs",
            "warmup_epochs",
            "learning_rate",
            "precision",
            "validation_fraction",
            "val_interval",
            "num_workers",
            "seed",
        ),
        *("slices", "length", "settings", "network_def", "network", "loss", "optimizer", "schedules"),
        *("train", "validate", "initialize", "run"),
    ],
    "classification": [
        *("bundle_root", "dataset_dir", "splits", "fold", "section", "pretrained", "resume", "output_dir", "run_name"),
        *("device", "class_names", "positive_class", "class_weights", "columns", "window", "backbone", "in_channels"),
        *("image_size", "batch_size", "epochs", "learning_rate", "weight_decay", "protocol", "head_only_epochs"),
        *("frozen_batch_norm", "precise_batch_norm", "best_metric", "patience", "precision", "num_workers", "seed"),
        *("images", "length", "settings", "network_def", "start", "network", "loss", "optimizer", "schedule"),
        *("train", "validate", "initialize", "run"),
    ],
    "segmentation": [
        *("bundle_root", "dataset_dir", "splits", "fold", "section", "pretrained", "resume", "output_dir", "run_name"),
        *("device", "class_names", "mask_values", "columns", "window", "backbone", "in_channels", "image_size"),
        *("batch_size", "epochs", "learning_rate", "weight_decay", "protocol", "head_only_epochs"),
        *("frozen_batch_norm", "precise_batch_norm", "tolerance", "best_metric", "patience", "precision"),
        *("num_workers", "seed", "images", "length", "settings", "encoder", "network_def", "start", "network", "loss"),
        *("optimizer", "schedule", "train", "validate", "initialize", "run"),
    ],
}
"""Ids that the bundles of a family have, in this order, among those of their method or task."""
BLOCKS = {
    "pretrain": (
        *("bundle_root::_target_", "output_dir", "run_name", "device", "slices", "length", "network"),
        *("train::dataset", "train::dataloader", "validate::dataset", "validate::dataloader", "validate::inferer"),
        *("validate::labelled", "validate::handlers", "initialize", "run"),
    ),
    "classification": (
        *("bundle_root::_target_", "output_dir", "run_name", "device", "images", "length", "settings", "network_def"),
        *("start", "network", "loss", "optimizer", "schedule", "train::preprocessing", "train::inferer"),
        *("train::handlers", "train::trainer", "validate::preprocessing", "validate::dataloader", "validate::inferer"),
        *("validate::handlers", "validate::evaluator", "initialize", "run"),
    ),
}
BLOCKS["segmentation"] = (*BLOCKS["classification"], "encoder")
"""What is no matter of method or task: equal in the family."""
BUDGETS = {
    "pretrain": {"train": (190, 8), "evaluate": (60, 20), "inference": (80, 20)},
    "classification": {"train": (230, 14), "evaluate": (60, 20), "inference": (130, 20)},
    "segmentation": {"train": (230, 14), "evaluate": (60, 20), "inference": (130, 20)},
}
"""Lines and expressions that a config may have."""
LONGEST_EXPRESSION = 60
LONGER = {
    "bundle_root": 183, "are_known": 157, "picture::reader::converter": 108, "files": 74, "name_of": 115, "refuse": 153,
    "stream": 79, "run::2": 128, "refusals::it has no value below 0, or few gray levels, as label maps": 75,
}  # fmt: skip
LONGER_IN = {
    "classification": LONGER
    | {"refusals::it has colours or several channels": 106, "read": 178, "slices_of": 98, "outcome": 253, "write": 206},
    "segmentation": LONGER
    | {"refusals::it has colours, or several volumes": 85, "read": 213, "volume_of": 268, "write": 402}
    | {"step": 215, "network_def": 437, "picture::slices::0": 167},
}
"""Expressions of a task's ``inference.json`` that may be longer, and how long: why, says docs/design.md."""
WHAT_MONAI_NEEDS = {"monai", "ignite", "numpy", "torch"}
MONAI_ARGUMENTS = {
    "config_file",
    "meta_file",
    "logging_file",
    "run_id",
    "init_id",
    "final_id",
    "args_file",
    "nproc_per_node",
    "net_id",
    "ckpt_file",
    "filepath",
}

bundles = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
classifiers = pytest.mark.parametrize("bundle", CLASSIFICATION, ids=lambda path: path.name)
standalone = pytest.mark.parametrize("bundle", STANDALONE, ids=lambda path: path.name)
of_volumes = [(bundle, name) for bundle in BUNDLES for name in VOLUMES if (bundle / f"configs/{name}.json").is_file()]
every_config = pytest.mark.parametrize(
    ("bundle", "name"),
    [(bundle, name) for bundle in BUNDLES for name in CONFIGS] + of_volumes,
    ids=lambda value: getattr(value, "name", value),
)


def _texts(config: object) -> list[str]:
    return [content for _, content in walk(config) if isinstance(content, str)]


def _raw(bundle: Path, name: str) -> dict:
    return json.loads((bundle / "configs" / f"{name}.json").read_text())


def _components(config: object) -> list[tuple[str, dict]]:
    return [(place, content) for place, content in walk(config) if isinstance(content, dict) and "_target_" in content]


def _family(bundle: Path) -> str:
    return bundle.name.rpartition("_")[2]


def test_the_reference_of_each_family_is_there():
    assert {bundle.name for bundle in BUNDLES} > set(REFERENCE.values())


@bundles
def test_a_bundle_has_all_its_files(bundle):
    for file in ("LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt"):
        assert (bundle / file).is_file(), file
    assert "Apache License" in (bundle / "LICENSE").read_text()


@bundles
def test_train_has_the_familys_ids_in_the_familys_order(bundle):
    ids, expected = list(_raw(bundle, "train")), IDS[_family(bundle)]
    assert [name for name in ids if name in expected] == expected


@bundles
def test_blocks_that_are_no_matter_of_method_or_task_are_those_of_the_reference(bundle):
    own, reference = (
        ConfigParser(_raw(folder, "train")) for folder in (bundle, bundle.with_name(REFERENCE[_family(bundle)]))
    )
    for block in BLOCKS[_family(bundle)]:
        assert json.dumps(own[block], indent=1) == json.dumps(reference[block], indent=1), block


@every_config
def test_keys_are_unique_and_separated_by_colons(bundle, name, monkeypatch):
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
    config = ConfigParser.load_config_file(bundle / "configs" / f"{name}.json")
    assert not [place for place, _ in walk(config) if "#" in place]
    assert not [text for text in _texts(config) if text.startswith(("@", "$", "%")) and "#" in text]


@bundles
@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_a_config_fits_on_a_page(bundle, name):
    text = (bundle / "configs" / f"{name}.json").read_text()
    lines, expressions = BUDGETS[_family(bundle)][name]
    assert len(text.splitlines()) <= lines
    assert len([value for value in _texts(_raw(bundle, name)) if value.startswith("$")]) <= expressions


def _expressions(config: dict) -> dict[str, str]:
    return {place: text for place, text in walk(config) if isinstance(text, str) and text.startswith("$")}


@every_config
def test_expressions_are_short_and_plain(bundle, name):
    config = _raw(bundle, name)
    assert not [place for place, component in _components(config) if component.get("_mode_") == "callable"]
    functions = LONGER_IN[_family(bundle)] if bundle in STANDALONE and name == "inference" else {}
    long = {place: len(text) for place, text in _expressions(config).items() if len(text) > LONGEST_EXPRESSION}
    assert {place: length for place, length in long.items() if length > functions.get(place, 0)} == {}
    assert functions.keys() <= long.keys(), "what became short leaves the list"
    if not functions:
        for expression in _expressions(config).values():
            assert not re.search(r"lambda|\[|\bfor\b|\bif\b|import", expression), expression


@every_config
def test_no_config_depends_on_another_file(bundle, name):
    assert not [text for text in _texts(_raw(bundle, name)) if text.startswith("%")]


@every_config
def test_every_target_is_dotted_exists_and_takes_the_arguments(bundle, name):
    for place, component in _components(merged_config(bundle, name)):
        target = component["_target_"].replace("$'monai.networks.nets.' + @backbone", "monai.networks.nets.resnet50")
        assert "." in target, f"{place}: {target}"
        function = locate(target)
        assert callable(function), f"{place}: {target} does not exist"
        if component.get("_mode_") == "callable":
            continue  # it gets its other arguments later
        signature = inspect.signature(function)
        arguments = {key for key in component if key not in ConfigComponent.non_arg_keys}
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
        assert takes_any or arguments <= set(signature.parameters), f"{place}: {target} has no {arguments}"
        required = {n for n, p in signature.parameters.items() if p.default is p.empty and p.kind not in (2, 4)}
        assert required <= arguments, f"{place}: {target} lacks {required - arguments}"


@every_config
def test_every_reference_leads_to_an_id(bundle, name):
    parser = ConfigParser(merged_config(bundle, name))
    for text in _texts(parser.get()):
        for reference in parser.ref_resolver.match_refs_pattern(text):
            assert reference in parser, f"{text}: there is no {reference}"


@standalone
def test_inference_of_a_task_names_nothing_but_monai_and_what_monai_needs(bundle):
    config = _raw(bundle, "inference")
    assert "monai_ext." not in json.dumps(config)
    packages = {component["_target_"].strip("$'").split(".")[0] for _, component in _components(config)}
    assert packages - WHAT_MONAI_NEEDS <= sys.stdlib_module_names
    assert not [place for place, component in _components(config) if component.get("_mode_") == "callable"]


@standalone
def test_an_option_of_a_tasks_inference_is_an_id_or_monais(bundle):
    config = _raw(bundle, "inference")
    assert set(config["options"]) <= set(config) | MONAI_ARGUMENTS


@classifiers
def test_inference_of_classifiers_differs_in_the_folders_name_only(bundle):
    text, reference = ((folder / "configs" / "inference.json").read_text() for folder in (bundle, CLASSIFICATION[0]))
    assert text.replace(bundle.name, CLASSIFICATION[0].name) == reference


@classifiers
def test_inference_of_a_classifier_prepares_images_as_training_does(bundle):
    inference, training = _raw(bundle, "inference"), _raw(bundle, "train")
    assert inference["preprocessing"] == training["train"]["preprocessing"]


@pytest.mark.parametrize(
    ("bundle", "name"),
    [(bundle, name) for bundle in BUNDLES for name in OVERLAYS] + of_volumes,
    ids=lambda value: getattr(value, "name", value),
)
def test_an_overlay_changes_ids_that_exist_or_uses_the_new_ones_itself(bundle, name):
    before = _raw(bundle, VOLUMES.get(name, "train"))
    overlay, base = _raw(bundle, name), ConfigParser(before)
    used = {ref for text in _texts(overlay) for ref in base.ref_resolver.match_refs_pattern(text)}
    new = [key for key in overlay if not _takes(before, key)]
    required = {prop["id"] for prop in InferProperties.values()} if name == "evaluate" else set()
    assert set(new) <= used | required | {"finalize"}, new


@every_config
def test_the_first_step_of_initialize_checks_the_overrides_against_this_very_config(bundle, name):
    if bundle in STANDALONE and name == "inference":
        pytest.skip("inference of a task runs without this project, which has the check")
    first = merged_config(bundle, name)["initialize"][0]
    assert first["_target_"] == "monai_ext.bundle.check_overrides"
    of_its_own = {"train": {}, "smoke": {}, "inference": {"config": "inference.json"}}
    expected = of_its_own.get(VOLUMES.get(name, name), {"overlay": f"{name}.json"})
    assert {key: first[key] for key in first if key in ("config", "overlay")} == expected


@bundles
def test_smoke_passes_the_check_of_overrides(bundle):
    assert unknown_ids(merged_config(bundle, "smoke"), merged_config(bundle, "train")) == {}


@pytest.mark.parametrize(("bundle", "name"), of_volumes, ids=lambda value: getattr(value, "name", value))
def test_configs_of_volumes_pass_the_check_of_overrides_of_what_they_are_read_after(bundle, name):
    assert unknown_ids(merged_config(bundle, name), merged_config(bundle, VOLUMES[name])) == {}


@bundles
@pytest.mark.parametrize(
    ("name", "properties"),
    [("train", TrainProperties), ("evaluate", InferProperties), ("inference", InferProperties)],
)
def test_the_ids_that_monai_requires_are_there(bundle, name, properties):
    parser = ConfigParser(merged_config(bundle, name))
    parser.read_meta(bundle / "configs" / "metadata.json")
    required = [prop["id"] for prop in (properties | MetaProperties).values() if prop["required"]]
    assert [name for name in required if name not in parser] == []


@bundles
def test_every_override_in_the_readme_exists(bundle):
    text = (bundle / "docs" / "README.md").read_text()
    lines = [line for line in text.splitlines() if "-m monai_ext" not in line]  # these have options of their own
    flags = set(re.findall(r"--([A-Za-z_]\w*(?:::\w+)*)", "\n".join(lines)))
    names = [*CONFIGS, *(name for owner, name in of_volumes if owner == bundle)]
    known = [merged_config(bundle, name) for name in names]
    assert flags > {"dataset_dir", "epochs", "resume", "model_path"}
    for flag in flags - MONAI_ARGUMENTS:
        assert any(_takes(config, flag) for config in known), f"--{flag} is in no config of {bundle.name}"


def _takes(known: dict, flag: str) -> bool:
    """Whether an override by this flag would pass the check."""
    parser = ConfigParser(json.loads(json.dumps(known)))
    try:
        parser[flag] = None
    except KeyError:
        return False
    return unknown_ids(parser.get(), known) == {}


@bundles
def test_the_defaults_in_the_readme_are_those_of_the_config(bundle):
    rows = re.findall(r"^\| `--(\w+)` \| (.*?) \|", (bundle / "docs" / "README.md").read_text(), flags=re.MULTILINE)
    config = merged_config(bundle, "train")
    assert len(rows) > 10
    assert dict(rows) == {name: "none" if config[name] is None else str(config[name]) for name, _ in rows}


@bundles
def test_metadata_follows_monais_schema(bundle):
    jsonschema = pytest.importorskip("jsonschema")
    schema = REPOSITORY.parent / "shared" / "monai" / "meta_schema_20240725.json"
    if not schema.is_file():
        pytest.skip("MONAI's metadata schema is not there (it is not part of the project)")
    metadata = _raw(bundle, "metadata")
    assert metadata["schema"].endswith(schema.name)
    jsonschema.validate(instance=metadata, schema=json.loads(schema.read_text()))


@bundles
def test_metadata_is_of_this_version_and_of_the_versions_that_are_tested(bundle):
    metadata = _raw(bundle, "metadata")
    assert metadata["version"] in metadata["changelog"]
    constraints = REPOSITORY / "constraints.txt"
    if not constraints.is_file():
        pytest.skip("constraints.txt, which has the tested versions, is not there")
    tested = dict(re.findall(r"^([\w.-]+)==([\w.]+)", constraints.read_text().lower(), flags=re.MULTILINE))
    named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    stated = {package: metadata[key] for package, key in named.items()} | metadata["required_packages_version"]
    assert {package: version for package, version in stated.items() if tested.get(package, version) != version} == {}


@bundles
def test_metadata_agrees_with_the_network(bundle):
    config, metadata = merged_config(bundle, "train"), _raw(bundle, "metadata")
    image = metadata["network_data_format"]["inputs"]["image"]
    assert image["num_channels"] == config["in_channels"]
    assert image["spatial_shape"] == [config["image_size"]] * 2


@bundles
def test_inference_builds_the_network_that_training_builds(bundle):
    if bundle in SEGMENTATION:
        pytest.skip("it is written down with MONAI alone: tests/bundles/test_segmentation_bundles.py compares the two")
    inference, training = _raw(bundle, "inference"), _raw(bundle, "train")["network_def"]
    network = inference.get("method", inference["network_def"])
    if bundle in CLASSIFICATION:
        assert network["num_classes"] == {"_target_": "numpy.size", "a": "@class_names"}
        network["num_classes"] = "$len(@class_names)"
    if network["_target_"] == "monai_ext.networks.MoCo":  # whose groups and fitted queue are matters of training
        assert training["encoder"].pop("_target_") == "monai_ext.networks.split_batch_norm"
        training = {**training, "encoder": training["encoder"]["module"], "queue": network["queue"]}
    assert network == training


@bundles
def test_a_misspelt_id_is_found_with_the_nearest_one(bundle):
    assert unknown_ids(_raw(bundle, "train") | {"run_nmae": "a"}, _raw(bundle, "train")) == {"run_nmae": "run_name"}
