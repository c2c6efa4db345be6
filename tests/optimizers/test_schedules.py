"""Schedules as functions of the iteration."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from monai_ext.engines import TrainingLength
from monai_ext.optimizers import WarmupCosine, parameter_groups, scale_learning_rate


def length(iterations: int) -> TrainingLength:
    """One iteration an epoch."""
    return TrainingLength(1, batch_size=1, epochs=iterations)


def learning_rate(iterations: int = 101, warmup: float = 20) -> WarmupCosine:
    return WarmupCosine("lr", length=length(iterations), warmup_epochs=warmup, warmup_factor=0.005, final_factor=0.001)


def test_learning_rate_at_the_start_the_peak_the_middle_and_the_end():
    schedule = learning_rate()
    assert schedule.value(0, peak=2.0) == pytest.approx(2.0 * 0.005)
    assert schedule.value(10, peak=2.0) == pytest.approx(2.0 * (0.005 + 0.995 / 2))
    assert schedule.value(20, peak=2.0) == pytest.approx(2.0)
    assert schedule.value(60, peak=2.0) == pytest.approx(2.0 * (1 + 0.001) / 2)
    assert schedule.value(100, peak=2.0) == pytest.approx(2.0 * 0.001)


def test_weight_decay_rises_from_its_start_to_its_final_value():
    schedule = WarmupCosine("weight_decay", length=length(101), start=0.04, final=0.2)
    assert [schedule.value(iteration, peak=0.04) for iteration in (0, 50, 100)] == pytest.approx([0.04, 0.12, 0.2])


@given(iterations=st.integers(1, 500), warmup=st.integers(0, 600), data=st.data())
def test_values_stay_between_the_ends_and_fall_after_the_peak(iterations, warmup, data):
    logging.disable(logging.WARNING)
    schedule = learning_rate(iterations, warmup)
    logging.disable(logging.NOTSET)
    iteration = data.draw(st.integers(0, iterations - 1))
    value, following = schedule.value(iteration, peak=1.0), schedule.value(iteration + 1, peak=1.0)
    assert 0.001 * (1 - 1e-9) <= value <= 1.0
    if iteration < schedule.warmup_iterations:
        assert following > value
    else:
        assert following <= value


def test_a_warm_up_longer_than_the_run_is_shortened_to_a_quarter_and_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        schedule = learning_rate(iterations=8, warmup=40)
        values = [schedule.value(iteration, peak=1.0) for iteration in range(8)]
    assert schedule.warmup_iterations == 2
    assert max(values) == 1.0
    assert [record.getMessage() for record in caplog.records] == [
        "The warm-up of lr is shortened from 40 to 2 iterations: it takes at most 25 % of a run, and this run has 8 "
        "iterations."
    ]


def test_groups_follow_their_own_peaks_and_those_without_decay_stay_without():
    network = nn.Linear(2, 2)
    groups = parameter_groups(network, weight_decay=0.04)
    groups[1]["lr"] = 10.0
    optimizer = torch.optim.SGD(groups, lr=1.0)
    for schedule in (learning_rate(), WarmupCosine("weight_decay", length=length(101), start=0.04, final=0.2)):
        peaks = schedule.peaks(optimizer)
        schedule.apply(optimizer, 50, peaks)
        schedule.apply(optimizer, 100, peaks)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.001, 0.01])
    assert [group["weight_decay"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.0])


def test_a_group_of_constant_rate_keeps_it_and_its_weight_decay_follows():
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": weights[:1]}, {"params": weights[1:], "constant_rate": True, "weight_decay": 0.04}]
    optimizer = torch.optim.SGD(groups, lr=0.5, weight_decay=0.04)
    for schedule in (learning_rate(), WarmupCosine("weight_decay", length=length(101), start=0.04, final=0.2)):
        schedule.apply(optimizer, 0, schedule.peaks(optimizer))
        assert optimizer.param_groups[1]["lr"] == 0.5  # without the warm-up too
        schedule.apply(optimizer, 100, schedule.peaks(optimizer))
    assert optimizer.param_groups[0]["lr"] < 0.5
    assert [group["lr"] for group in optimizer.param_groups][1] == 0.5
    assert [group["weight_decay"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.2])


def test_the_last_iteration_of_a_run_of_one_is_defined():
    assert learning_rate(iterations=1, warmup=0).value(0, peak=1.0) == 1.0


def test_the_learning_rate_grows_with_the_batch():
    assert scale_learning_rate(2e-4, batch_size=32) == pytest.approx(2.5e-5)
    assert scale_learning_rate(0.1, batch_size=64, reference_batch_size=128) == pytest.approx(0.05)


def test_batch_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        scale_learning_rate(0.1, batch_size=0)


@pytest.mark.parametrize(
    ("field", "options", "words"),
    [
        ("momentum", {"final": 0.1}, "'lr' or 'weight_decay'"),
        ("lr", {"final": 0.1, "final_factor": 0.1}, "either final or final_factor"),
        ("lr", {"final": 0.1, "warmup_epochs": -1}, "warmup_epochs >= 0"),
        ("lr", {"final": 0.1, "warmup_factor": 2}, r"warmup_factor in \[0, 1\]"),
        ("weight_decay", {"final": 0.1, "start": 0.0}, "groups at 0 are exempt"),
        ("weight_decay", {"final": 0.1, "warmup_epochs": 2}, "no warm-up"),
    ],
)
def test_options_that_make_no_schedule_are_refused(field, options, words):
    with pytest.raises(ValueError, match=words):
        WarmupCosine(field, length=length(10), **options)


def test_without_a_final_value_the_rate_ends_at_zero():
    schedule = WarmupCosine(length=length(11))
    assert schedule.field == "lr"
    assert (schedule.value(0, 0.5), schedule.value(10, 0.5)) == (0.5, 0.0)
