"""MONAI's own tools work on every bundle: properties, loading, exports as the model zoo's CI calls them, federation."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import (
    ConfigParser,
    ConfigWorkflow,
    ckpt_export,
    load,
)
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import get_state_dict

from helpers.bundle_files import (
    BUNDLES,
    REPOSITORY,
    STANDALONE,
    config_files,
    merged_config,
    tiny_model,
    tiny_training,
    untracked,
    walk,
)
from helpers.tiny_resnet import TINY_WIDTH
from monai_ext.parallel.processor import processor
from monai_ext.sharing.check import STEPS, as_overview, check_bundle

SCHEMA = REPOSITORY.parent / "shared" / "monai" / "meta_schema_20240725.json"

every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)


@pytest.fixture
def published(bundle: Path, trained: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained bundle, seen from a working directory that has nothing to do with it."""
    trained(bundle)
    monkeypatch.chdir(trained(bundle).parents[1] if bundle in STANDALONE else tmp_path)
    return trained(bundle)


def paths(bundle: Path) -> dict[str, str]:
    """How the zoo's CI names the parts of a bundle."""
    return {
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "config_file": str(bundle / "configs" / "inference.json"),
    }


@every_bundle
@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("evaluate", "infer"), ("inference", "infer")])
def test_monai_finds_all_properties(bundle, name, kind, published, data_of, tmp_path):
    overrides = {**(tiny_training(bundle) if kind == "train" else tiny_model(bundle, name)), **untracked(bundle, name)}
    overrides |= {"dataset_dir": data_of(bundle)}
    overrides |= {"output_dir::parent" if kind == "train" else "output_dir": str(tmp_path / "out")}
    files = config_files(published, "smoke" if name == "train" else name)
    workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **overrides)
    workflow.initialize()
    assert workflow.check_properties() == []


@every_bundle
def test_the_models_metadata_say_what_it_was_trained_in(bundle, published):
    metadata = json.loads((published / "models" / "model.json").read_text())
    assert metadata["precision"] == ("bf16" if processor().has_bf16 else "fp32")


@every_bundle
def test_the_published_weights_are_those_of_the_network_and_no_others(bundle, published):
    parser = ConfigParser(merged_config(published, "train"))
    settings = json.loads((published / "models" / "model.json").read_text())
    parser.update({name: settings[name] for name in settings if name in parser and name != "class_names"})
    parser.update({name: value for name, value in tiny_model(bundle).items() if name in parser})
    if "network_def::queue" in parser:
        parser.update({"length::samples": 32})
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(published / "models" / "model.pt", weights_only=True), strict=True)
    for value in network.state_dict().values():
        value.zero_()
    loaded = load(published.name, bundle_dir=str(published.parent), model=network)
    weights = torch.load(published / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())


@every_bundle
def test_the_steps_of_the_zoos_ci_pass_after_a_training(bundle, published, tmp_path):
    pytest.importorskip("onnxscript")
    copy = shutil.copytree(published, tmp_path / bundle.name)
    inference = ConfigParser(json.loads((copy / "configs" / "inference.json").read_text()))
    inference.update(tiny_model(bundle, "inference"))
    (copy / "configs" / "inference.json").write_text(json.dumps(inference.get()))
    metadata = json.loads((copy / "configs" / "metadata.json").read_text())
    output = metadata["network_data_format"]["outputs"]["pred"]
    if bundle not in STANDALONE:
        assert output["num_channels"] == 2048  # of the default backbone
        output["num_channels"] = TINY_WIDTH
    (copy / "configs" / "metadata.json").write_text(json.dumps(metadata))
    rows = check_bundle(copy, schema=SCHEMA if SCHEMA.is_file() else None)
    steps = as_overview({bundle.name: rows}).splitlines()[1].split()[1:]
    assert [*steps[:3], *steps[4:]] == ["ok"] * (len(STEPS) - 1), rows
    assert steps[3] == ("ok" if SCHEMA.is_file() else "skipped")


@every_bundle
def test_the_checkpoint_is_exported_to_torchscript(bundle, published, tmp_path):
    file = tmp_path / "model.ts"
    model = str(published / "models" / "model.pt")
    overrides = tiny_model(bundle, "inference")
    ckpt_export(net_id="network_def", filepath=str(file), ckpt_file=model, **paths(published), **overrides)
    output = torch.jit.load(str(file))(torch.rand(2, 1, 64, 64))
    assert output.isfinite().all()
    assert output.shape[0] == 2


@every_bundle
def test_two_rounds_of_federated_learning(bundle, published, data_of, tmp_path):
    common = {"dataset_dir": data_of(bundle)}
    client = MonaiAlgo(
        bundle_root=str(published),
        send_weight_diff=False,
        config_train_filename=["configs/train.json", "configs/smoke.json"],
        train_kwargs={
            **untracked(bundle, "train"),
            **tiny_training(bundle),
            **common,
            "output_dir": str(tmp_path / "run"),
        },
        eval_kwargs={**untracked(bundle, "evaluate"), **tiny_model(bundle, "evaluate"), **common}
        | {"output_dir": str(tmp_path / "eval")},
    )
    client.initialize()
    weights = {name: value.clone() for name, value in get_state_dict(client.trainer.network).items()}
    for finished in (1, 2):
        client.train(ExchangeObject(weights=weights))
        assert client.trainer.state.epoch == finished
        received = client.get_weights().weights
        assert received.keys() == weights.keys()
        assert any(not torch.equal(received[name], weights[name]) for name in weights)
        weights = {name: value.clone() for name, value in received.items()}
        metrics = client.evaluate(ExchangeObject(weights=weights)).metrics
        assert metrics
        assert all(isinstance(value, int | float) for value in metrics.values())
    client.finalize()


@every_bundle
@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_nothing_in_initialize_ends_the_process(bundle, name, published, command_line, tmp_path):
    if bundle in STANDALONE and name == "inference":
        pytest.skip("without this project it knows the command line alone, which a test of its own tries")

    def misspelt() -> None:
        ConfigWorkflow(config_files(published, name), logging_file=False, bacth_size=3).initialize()

    assert re.search(r"^Error: .*no id 'bacth_size' \(did you mean 'batch_size'\?\)", command_line(misspelt))


@every_bundle
def test_metadata_name_the_packages_that_configs_call(bundle):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    known = {name.replace("-", "_") for name in metadata["required_packages_version"]} | {"monai", "torch"}
    called = {
        component["_target_"].split(".")[0]
        for name in ("train", "evaluate", "inference", "multi_gpu_train")
        for _, component in walk(merged_config(bundle, name))
        if isinstance(component, dict) and component.get("_target_", "$")[0] != "$"
    }
    provided = {"ignite": "pytorch_ignite", "numpy": "torch"}
    assert {provided.get(package, package) for package in called - sys.stdlib_module_names} <= known
