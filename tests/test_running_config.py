"""Where the config lies that runs, and what an uncaught error shows on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out

from monai_ext.errors import DatasetError
from monai_ext.running_config import brief_errors, refusal, running_config_folder

FOLDERS: list[Path | None] = []


def note_folder() -> object:
    from torch import nn

    FOLDERS.append(running_config_folder())
    return nn.Conv2d(1, 1, 1)


def build(problem: str) -> object:
    raise {
        "ours": DatasetError("No image was found in /data."),
        "marked": refusal(FileNotFoundError("There is no model.")),
        "theirs": ValueError("The loss is wrong."),
    }[problem]


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A folder with a config whose network notes where the config lies."""
    image = {"num_channels": 1, "spatial_shape": [8, 8], "dtype": "float32"}
    data_format = {"inputs": {"image": image}, "outputs": {"pred": {"num_channels": 1, "dtype": "float32"}}}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": data_format}))
    config = {"network_def": {"_target_": f"{__name__}.note_folder"}, "initialize": ["$@network_def"], "run": []}
    (tmp_path / "configs" / "inference.json").write_text(json.dumps(config))
    FOLDERS.clear()
    return tmp_path / "configs"


@pytest.mark.parametrize("as_list", [False, True])
def test_a_workflow_and_a_command_of_monai_tell_the_configs_place(configs, monkeypatch, as_list, tmp_path):
    monkeypatch.chdir(tmp_path)
    file = "configs/inference.json"
    ConfigWorkflow([file] if as_list else file, logging_file=False).initialize()
    meta = str(configs / "metadata.json")
    verify_net_in_out("network_def", meta_file=meta, config_file=[file] if as_list else file, device="cpu")
    assert [configs, configs] == FOLDERS


def test_a_parser_alone_does_not_tell(configs):
    ConfigParser(ConfigParser.load_config_file(configs / "inference.json")).get_parsed_content("network_def")
    assert FOLDERS == [None]
    assert running_config_folder() is None


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        ("ours", "Error: No image was found in /data.\n"),
        ("marked", "Error: There is no model.\n"),
        ("theirs", None),
    ],
)
def test_on_the_command_line_an_error_is_shown_briefly_and_stays_what_it_is(problem, shown, monkeypatch, capsys):
    monkeypatch.setattr("monai_ext.running_config.started_from_command_line", lambda: True)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    brief_errors()
    config = {"engine": {"_target_": f"{__name__}.build", "problem": problem}, "trainer": "@engine"}
    with pytest.raises(RuntimeError, match="Failed to instantiate component") as caught:
        ConfigParser(config).get_parsed_content("trainer")
    sys.excepthook(caught.type, caught.value, caught.tb)
    printed = capsys.readouterr().err
    assert printed == shown or (shown is None and printed.strip().endswith("\nValueError: The loss is wrong."))
    assert printed.startswith("Error") or printed.startswith("Traceback")


def test_elsewhere_errors_are_shown_as_ever(monkeypatch):
    before = sys.excepthook
    brief_errors()
    assert sys.excepthook is before
