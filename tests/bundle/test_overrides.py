import json
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow, run

from monai_ext.bundle import check_overrides
from monai_ext.bundle.overrides import unknown_ids
from monai_ext.errors import ConfigOverrideError

KNOWN = {
    "epochs": 1600,
    "batch_size": 32,
    "drop": {"_target_": "torch.nn.Dropout", "p": 0.5},
    "train": {"views": {"size": 224}, "handlers": [{"_target_": "torch.nn.Dropout", "p": 0.1}]},
}


def _merged(**changes):
    merged = json.loads(json.dumps(KNOWN))
    merged.update(changes)
    return merged


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A minimal bundle whose run writes a file, so that a refused run can be told from one that happened."""
    configs = tmp_path / "some_bundle" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text('{"version": "0.1.0"}')
    train = {
        "bundle_root": {"_target_": "monai_ext.bundle.locate_bundle", "name": "some_bundle"},
        "epochs": 1600,
        "train": {"dataloader": {"_target_": "torch.nn.Dropout", "p": 0.5}},
        "initialize": [{"_target_": "monai_ext.bundle.check_overrides", "bundle_root": "@bundle_root"}],
        "run": ["$open(@bundle_root + '/ran.txt', 'w').write(str(@epochs))"],
    }
    (configs / "train.json").write_text(json.dumps(train))
    return configs.parent


def _cause(caught) -> BaseException:
    """MONAI wraps what a component raises; the error itself is the cause."""
    return caught.value.__cause__


def test_a_config_without_new_ids_passes():
    assert unknown_ids(_merged(epochs=3, drop={"_target_": "torch.nn.Dropout", "p": 0.2}), KNOWN) == {}


@pytest.mark.parametrize(
    ("section", "name", "nearest"),
    [
        (None, "epohcs", "epochs"),
        (None, "batchsize", "batch_size"),
        ("train", "view", "train::views"),
        ("drop", "in_place", "drop::inplace"),
        (None, "zzz", None),
    ],
)
def test_a_new_id_is_reported_with_the_nearest_valid_one(section, name, nearest):
    config = _merged()
    (config if section is None else config[section])[name] = 3
    assert unknown_ids(config, KNOWN) == {name if section is None else f"{section}::{name}": nearest}


def test_an_id_given_without_its_section_is_found_by_its_last_part():
    assert unknown_ids(_merged(size=96), KNOWN) == {"size": "train::views::size"}


def test_other_classes_are_labels_of_the_data_and_no_ids():
    known = {"class_names": {"0": "healthy", "1": "ill"}, "train": {"class_names": {"0": "healthy"}}}
    assert unknown_ids({"class_names": {"glioma": "glioma", "none": "no tumour"}}, known) == {}
    assert list(unknown_ids({"train": {"class_names": {"glioma": "x"}}}, known)) == ["train::class_names::glioma"]


def test_an_argument_that_only_the_signature_has_is_accepted():
    config = _merged()
    config["train"]["handlers"][0]["inplace"] = True
    config["drop"]["_disabled_"] = True
    assert unknown_ids(config, KNOWN) == {}


def test_a_misspelt_argument_inside_a_list_is_reported():
    config = _merged()
    config["train"]["handlers"][0]["inplac"] = True
    assert unknown_ids(config, KNOWN) == {"train::handlers::0::inplac": "train::handlers::0::inplace"}


def test_a_component_replaced_by_another_brings_its_own_arguments():
    assert unknown_ids(_merged(drop={"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}), KNOWN) == {}


def test_outside_a_config_the_check_says_where_it_belongs():
    with pytest.raises(RuntimeError, match="step of a MONAI config"):
        check_overrides("anywhere")


def test_a_misspelt_keyword_of_monai_run_is_refused_before_anything_runs(bundle):
    with pytest.raises(RuntimeError) as caught:
        run(config_file=str(bundle / "configs" / "train.json"), epohcs=3)
    assert isinstance(_cause(caught), ConfigOverrideError)
    assert "no id 'epohcs' (did you mean 'epochs'?)" in str(_cause(caught))
    assert not (bundle / "ran.txt").exists()


def test_a_nested_misspelt_override_of_a_workflow_is_refused(bundle):
    workflow = ConfigWorkflow(str(bundle / "configs" / "train.json"), **{"train::dataloader::inplase": True})
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert "did you mean 'train::dataloader::inplace'?" in str(_cause(caught))


def test_an_overlay_with_an_unknown_id_is_refused(bundle, tmp_path):
    overlay = tmp_path / "mine.json"
    overlay.write_text('{"epoch": 3}')
    with pytest.raises(RuntimeError) as caught:
        run(config_file=[str(bundle / "configs" / "train.json"), str(overlay)])
    assert "did you mean 'epochs'?" in str(_cause(caught))


def test_valid_overrides_and_monais_own_arguments_run(bundle, tmp_path):
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"config_file": str(bundle / "configs" / "train.json"), "epochs": 4}))
    run(run_id="run", init_id="initialize", final_id="finalize", args_file=str(arguments), logging_file=False)
    assert (bundle / "ran.txt").read_text() == "4"


def test_monais_own_tracking_is_not_taken_for_a_misspelling(bundle, tmp_path):
    output = str(tmp_path / "tracked")
    run(config_file=str(bundle / "configs" / "train.json"), tracking="mlflow", output_dir=output, epochs=2)
    assert (bundle / "ran.txt").read_text() == "2"


def test_on_the_command_line_the_sentence_alone_is_shown_and_the_error_stays_an_error(bundle, monkeypatch, capsys):
    monkeypatch.setattr("monai_ext.running_config.started_from_command_line", lambda: True)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(RuntimeError) as caught:
        run(config_file=str(bundle / "configs" / "train.json"), epohcs=3)
    capsys.readouterr()
    sys.excepthook(caught.type, caught.value, caught.tb)
    printed = capsys.readouterr().err
    assert printed.startswith("Error: Checking the overrides of train.json: there is no id 'epohcs'")
    assert "Traceback" not in printed


def test_an_overlay_of_the_bundle_itself_brings_its_own_ids(bundle):
    (bundle / "configs" / "evaluate.json").write_text(json.dumps({"section": "test"}))
    config = json.loads((bundle / "configs" / "train.json").read_text())
    config["initialize"][0]["overlay"] = "evaluate.json"
    (bundle / "configs" / "train.json").write_text(json.dumps(config))
    run(config_file=str(bundle / "configs" / "train.json"), logging_file=False, section="validation")
    assert (bundle / "ran.txt").exists()


def test_configs_of_an_older_layout_are_refused_with_what_to_do(bundle, monkeypatch, capsys):
    file = bundle / "configs" / "train.json"
    config = json.loads(file.read_text())
    config["initialize"][0]["configs"] = ["train.json", "evaluate.json"]
    file.write_text(json.dumps(config))
    monkeypatch.setattr("monai_ext.running_config.started_from_command_line", lambda: True)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(RuntimeError) as caught:
        run(config_file=str(file))
    capsys.readouterr()
    sys.excepthook(caught.type, caught.value, caught.tb)
    printed = capsys.readouterr().err
    assert printed.startswith(f"Error: The configs train.json + evaluate.json in {bundle / 'configs'} were written for")
    assert "take the configs of this version" in printed
    assert not (bundle / "ran.txt").exists()
