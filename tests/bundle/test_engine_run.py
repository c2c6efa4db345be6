import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_ext.bundle import run_engine
from monai_ext.errors import DatasetError

ENGINES: list[str] = []


class _Engine:
    """Notes that it ran; raises on demand."""

    def __init__(self, name: str, problem: Exception | None):
        self.name, self.problem = name, problem

    def run(self) -> None:
        ENGINES.append(self.name)
        if self.problem is not None:
            raise self.problem


def build_engine(name: str = "engine", *, broken: bool = False, problem: str | None = None) -> _Engine:
    if broken:
        raise DatasetError("No image was found in /data.")
    return _Engine(name, {"loss": ValueError("The loss is wrong."), None: None}[problem])


@pytest.fixture
def workflow(tmp_path: Path):
    """Makes a workflow whose only step runs an engine that is built with the given arguments, two references deep."""
    ENGINES.clear()

    def make(**arguments) -> ConfigWorkflow:
        config = {
            "engine": {"_target_": f"{__name__}.build_engine", **arguments},
            "trainer": "@engine",
            "run": [{"_target_": "monai_ext.bundle.run_engine", "engine_id": "trainer"}],
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        made = ConfigWorkflow(str(tmp_path / "config.json"), logging_file=False)
        made.initialize()
        return made

    return make


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("running_config", "bundle.engine_run"):
        monkeypatch.setattr(f"monai_ext.{module}.started_from_command_line", lambda: True)


def test_the_engine_is_built_and_run_once(workflow):
    workflow(name="a").run()
    assert ENGINES == ["a"]


def test_a_refusal_while_building_ends_the_command_with_its_sentence_alone(workflow, command_line):
    with pytest.raises(SystemExit, match=r"^Error: No image was found in /data\.$"):
        workflow(broken=True).run()


def test_another_error_ends_the_command_with_its_own_traceback(workflow, command_line, capsys):
    with pytest.raises(SystemExit, match=r"^1$"):
        workflow(problem="loss").run()
    told = capsys.readouterr().err.strip().splitlines()
    assert told[0].startswith("Traceback")
    assert told[-1] == "ValueError: The loss is wrong."


def test_a_caller_from_python_finds_the_error_at_the_end_of_the_causes(workflow):
    with pytest.raises(RuntimeError) as caught:
        workflow(broken=True).run()
    chain = [caught.value]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    assert isinstance(chain[-1], DatasetError)
    assert len(chain) == 3


def test_outside_of_a_config_it_says_what_to_call():
    with pytest.raises(RuntimeError, match="call the engine's own run"):
        run_engine("train::trainer")
