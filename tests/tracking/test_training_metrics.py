from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine

from monai_ext.tracking.training_metrics import MOST_POINTS, SystemMetrics, TrainingMetrics, images_seen, scalars


def engine_at(iteration: int, output: Any = None, **state: Any) -> Engine:
    engine = Engine(lambda engine, batch: None)
    engine.state.iteration, engine.state.output = iteration, output
    for name, value in state.items():
        setattr(engine.state, name, value)
    return engine


def points_of(metrics: TrainingMetrics, iterations: int, output: Any, **state: Any) -> list[dict[str, float]]:
    metrics.start(engine_at(0, **state))
    made = (metrics.add(engine_at(step, output, **state)) for step in range(1, iterations + 1))
    return [{name: value for name, value, _, _ in point.content} for point in made if point is not None]


@pytest.mark.parametrize(
    "output",
    [
        0.5,
        torch.tensor([0.5]),
        {"loss": torch.tensor(0.5, requires_grad=True)},
        {"loss": torch.tensor([0.5]), "pred": torch.zeros(3)},
        [{"loss": 0.5, "label": torch.tensor(1)}, {"loss": 0.5}],
    ],
)
def test_the_loss_is_found_in_every_form_of_output(output: Any) -> None:
    assert points_of(TrainingMetrics(every_iterations=1), 1, output)[0]["loss"] == 0.5


@pytest.mark.parametrize("output", [None, "text", torch.zeros(3), {"pred": torch.zeros(3)}, []])
def test_an_output_without_a_loss_gives_none(output: Any) -> None:
    assert "loss" not in points_of(TrainingMetrics(every_iterations=1), 1, output)[0]


@pytest.mark.parametrize(
    ("epoch_length", "max_epochs"), [(3, 2), (7_500, 1600), (MOST_POINTS, 1), (MOST_POINTS + 1, 1)]
)
def test_no_training_makes_more_points_than_a_database_can_bear(epoch_length: int, max_epochs: int) -> None:
    metrics = TrainingMetrics()
    metrics.start(engine_at(0, epoch_length=epoch_length, max_epochs=max_epochs))
    points = epoch_length * max_epochs / metrics.every
    assert points <= MOST_POINTS
    assert metrics.every == 1 or points > MOST_POINTS / 2


def test_the_highest_rate_of_the_parameter_groups_is_logged() -> None:
    engine = engine_at(1, 0.0)
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": parameters[:1], "weight_decay": 0.0}, {"params": parameters[1:], "weight_decay": 0.25}]
    engine.optimizer = torch.optim.SGD(groups, lr=0.5)
    metrics = TrainingMetrics(every_iterations=1)
    metrics.start(engine)
    values = {name: value for name, value, _, _ in metrics.add(engine).content}
    assert values["learning_rate"] == 0.5
    assert values["weight_decay"] == 0.25


def test_images_seen_come_from_the_state_or_from_the_loaders_batch_size() -> None:
    class Loader:
        batch_size = 4

    assert images_seen(engine_at(3, images_seen=96)) == 96
    assert images_seen(engine_at(3, dataloader=Loader())) == 12
    assert images_seen(engine_at(3)) is None


def test_metrics_of_any_kind_become_single_numbers() -> None:
    metrics = {"auc": torch.tensor([0.5]), "recall": torch.tensor([0.25, 1.0]), "best": True, "name": "x", "none": None}
    assert scalars(metrics) == {"auc": 0.5, "recall_0": 0.25, "recall_1": 1.0, "best": 1.0}


def names(samples: list) -> set[str]:
    return {point[0] for metrics in samples for point in metrics.points}


def test_the_first_sample_only_starts_the_measurement() -> None:
    metrics = SystemMetrics()
    assert metrics.poll() == []
    assert names(metrics.poll(last=True)) >= {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/disk_available_megabytes",
    }


def test_steps_count_the_samples_and_go_on_from_a_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.000001")
    metrics = SystemMetrics()
    metrics.poll()
    metrics.step = 5
    steps = [{point[3] for point in metrics.poll()[0].points} for _ in range(2)]
    assert steps == [{5}, {6}]


def test_between_samples_nothing_is_measured() -> None:
    metrics = SystemMetrics()
    metrics.poll()
    assert metrics.poll() == []


def test_mlflows_switch_turns_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    metrics = SystemMetrics()
    metrics.poll()
    assert metrics.poll(last=True) == []
