from __future__ import annotations

import pytest

from monai_ext.tracking.system_metrics import SystemMetrics


def names(entries: list) -> set[str]:
    return {point[0] for _, content in entries for point in content}


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
    steps = [{point[3] for point in metrics.poll()[0][1]} for _ in range(2)]
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
