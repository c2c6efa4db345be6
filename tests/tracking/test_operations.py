from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_ext.tracking.delivery import Spool
from monai_ext.tracking.operations import (
    Artifact,
    DatasetInput,
    EndRun,
    Metrics,
    NestedRun,
    OpenRun,
    Operation,
    Parameters,
    Picture,
    Tags,
    Text,
    operation_of,
)
from monai_ext.tracking.store import MLflowStore

OPENING = {
    "tracking_uri": "sqlite:///x.db", "experiment": "tiny", "run_name": None, "run_id": "", "key": "4f1c",
    "start_time": 1700000000000, "tags": {"monai_ext.bundle": "spark"},
}  # fmt: skip
NESTED = {
    "key": "7e2a", "name": "SparK CT all probe", "tags": {"study.fold": "0"}, "metrics": {"auc": 0.5}, "start_time": 5,
    "end_time": 7,
}  # fmt: skip
IN_A_FILE = [
    ("open", OPENING, OpenRun(**OPENING)),
    ("metrics", [["loss", 0.5, 1700000000000, 12]], Metrics([["loss", 0.5, 1700000000000, 12]])),
    ("parameters", {"values": {"epochs": "2"}, "iteration": 3, "parent": "a1"}, Parameters({"epochs": "2"}, 3, "a1")),
    ("tags", {"a": "1", "b": "2"}, Tags({"a": "1", "b": "2"})),
    (
        "dataset",
        {"context": "training", "name": "dicom training", "digest": "0123", "profile": "{}"},
        DatasetInput("training", "dicom training", "0123", "{}"),
    ),
    ("text", {"text": "torch==2\n", "file": "packages.txt"}, Text("torch==2\n", "packages.txt")),
    ("artifact", {"path": "/x/encoder.pt", "folder": "encoder"}, Artifact("/x/encoder.pt", "encoder")),
    ("picture", {"path": "/x/a.png", "name": "a", "step": 3, "time": 7}, Picture("/x/a.png", "a", 3, time=7)),
    ("nested", NESTED, NestedRun(**NESTED)),
    ("end", {"status": "FAILED", "error": "ValueError", "time": 7}, EndRun("FAILED", "ValueError", time=7)),
]
"""What files hold that trainings of all versions left."""


@pytest.mark.parametrize(("kind", "content", "operation"), IN_A_FILE, ids=[kind for kind, _, _ in IN_A_FILE])
def test_an_operation_waits_as_its_kind_and_its_plain_values(kind: str, content: object, operation: Operation) -> None:
    assert json.loads(json.dumps([operation.kind, operation.content])) == [kind, content]
    assert operation_of(kind, content) == operation


def test_parameters_of_a_version_that_knew_no_parents_are_read() -> None:
    assert operation_of("parameters", {"values": {}, "iteration": 0}) == Parameters({})


def test_an_operation_of_another_version_is_named_and_the_others_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "mlflow_4f1c.jsonl"
    file.write_text('["hologram", {"angle": 7}]\n["text", {"colour": "red"}]\n["tags", {"a": "1"}]\n')
    with caplog.at_level(logging.WARNING):
        assert list(Spool(file)) == [Tags({"a": "1"})]
    assert [message for message in caplog.messages if "of another version" in message and "'hologram'" in message]


def test_a_metric_may_stay_on_its_device_until_it_is_written() -> None:
    metrics = Metrics.at_step({"loss": torch.tensor(0.5)}, 3)
    assert isinstance(metrics.points[0][1], torch.Tensor)
    assert [(name, value, step) for name, value, _, step in metrics.content] == [("loss", 0.5, 3)]


@pytest.mark.parametrize("operation", [operation for _, _, operation in IN_A_FILE], ids=lambda item: item.kind)
def test_only_what_sends_a_file_may_be_overtaken(operation: Operation) -> None:
    assert operation.is_file == (operation.kind in ("text", "artifact", "picture"))


def test_a_nested_run_that_is_written_again_is_one_run(client: Any) -> None:
    store = MLflowStore(client.tracking_uri)
    store.write(OpenRun(**{**OPENING, "tags": {}}))
    store.write(NestedRun(**NESTED))
    begun = replace(NestedRun(**NESTED), key="begun")
    store.make_run(begun.key, start_time=5, tags={}, run_name=None)
    for operation in (NestedRun(**NESTED), begun):
        store.write(operation)
    nested = [run for run in client.search_runs([store.experiment_id]) if run.info.run_id != store.run_id]
    assert [(run.info.status, run.info.end_time, run.data.metrics) for run in nested] == [
        ("FINISHED", 7, {"auc": 0.5})
    ] * 2
