"""Learning rates of encoder and head, epoch by epoch."""

import pytest
import torch
from torch import nn

from monai_ext.optimizers import FineTuningSchedule, fine_tuning_groups


def _network() -> nn.Module:
    network = nn.Sequential()
    network.add_module("layer1", nn.Linear(2, 3))
    network.add_module("fc", nn.Linear(3, 2))
    return network


def test_encoder_and_head_are_two_groups_with_every_parameter_in_one():
    network = _network()
    encoder, head = fine_tuning_groups(network, learning_rate=0.1, weight_decay=0.01)
    assert (encoder["name"], head["name"]) == ("encoder", "head")
    assert [tuple(value.shape) for value in head["params"]] == [(2, 3), (2,)]
    assert {id(p) for p in encoder["params"] + head["params"]} == {id(p) for p in network.parameters()}
    assert (encoder["lr"], head["weight_decay"]) == (0.1, 0.01)


def test_the_groups_of_a_wrapped_network_are_the_same():
    wrapped = nn.Module()
    wrapped.module = _network()
    groups = fine_tuning_groups(wrapped, learning_rate=0.1)
    assert [len(group["params"]) for group in groups] == [2, 2]


def test_a_network_without_such_a_head_is_refused():
    with pytest.raises(ValueError, match="0 parameters belong to a head 'classifier'"):
        fine_tuning_groups(_network(), learning_rate=0.1, head="classifier")


def test_gradual_starts_at_a_tenth_and_doubles_as_the_studys_library_would():
    schedule = FineTuningSchedule("gradual")
    fractions = [schedule.encoder_fraction(epoch) for epoch in (1, 10, 11, 12, 13, 14, 15, 16, 70)]
    assert fractions == pytest.approx([0, 0, 0.1, 0.2, 0.4, 0.8, 1, 1, 1])


@pytest.mark.parametrize(("protocol", "fraction"), [("full", 1.0), ("linear_probe", 0.0)])
def test_full_and_linear_probe_never_change(protocol, fraction):
    schedule = FineTuningSchedule(protocol)
    assert {schedule.encoder_fraction(epoch) for epoch in range(1, 71)} == {fraction}


def test_auto_trains_a_random_encoder_from_the_beginning():
    assert FineTuningSchedule("auto", pretrained=True).protocol == "gradual"
    assert FineTuningSchedule("auto", pretrained=False).protocol == "full"


@pytest.mark.parametrize(
    "arguments", [{"protocol": "gradul"}, {"head_only_epochs": -1}, {"start_fraction": 0}, {"growth": 0.5}]
)
def test_values_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match="received"):
        FineTuningSchedule(**{"protocol": "gradual", **arguments})


def test_adam_takes_the_named_groups():
    optimizer = torch.optim.Adam(fine_tuning_groups(_network(), learning_rate=0.1))
    assert [group["name"] for group in optimizer.param_groups] == ["encoder", "head"]


def test_all_that_is_not_the_encoders_own_is_the_head():
    network = _network()
    encoder, head = fine_tuning_groups(network, learning_rate=0.1, encoder=network.layer1)
    assert encoder["params"] == list(network.layer1.parameters())
    assert head["params"] == list(network.fc.parameters())
    with pytest.raises(ValueError, match="0 parameters belong to a decoder and 4 to the rest"):
        fine_tuning_groups(network, learning_rate=0.1, encoder=network)
