"""What leaves a site, and what the average of several networks is."""

import pytest
import torch
from torch import nn

from helpers.contrastive_models import small_method
from monai_ext.federated.shared_state import average_states, fault_of, shared_state


def test_weights_are_averaged_by_images_and_counters_are_the_largest():
    states = {
        "b": {"weight": torch.tensor([4.0, 0.0]), "count": torch.tensor(5)},
        "a": {"weight": torch.tensor([0.0, 8.0]), "count": torch.tensor(7)},
    }
    average = average_states(states, {"a": 3, "b": 1})
    assert average["weight"].tolist() == [1.0, 6.0]
    assert average["count"].item() == 7
    assert average["count"].dtype == torch.int64


def test_batch_norm_statistics_become_those_of_all_images_together():
    torch.manual_seed(0)
    images = {"a": torch.randn(30, 2, 1, 1).double(), "b": 3 + 2 * torch.randn(10, 2, 1, 1).double()}
    states = {
        site: {"bn.running_mean": values.mean((0, 2, 3)), "bn.running_var": values.var((0, 2, 3), unbiased=False)}
        for site, values in images.items()
    }
    average = average_states(states, {"a": 30, "b": 10})
    joint = torch.cat(list(images.values()))
    torch.testing.assert_close(average["bn.running_mean"], joint.mean((0, 2, 3)))
    torch.testing.assert_close(average["bn.running_var"], joint.var((0, 2, 3), unbiased=False))


def test_the_average_does_not_depend_on_who_answered_first():
    torch.manual_seed(0)
    states = {site: {"w": torch.randn(1000)} for site in ("c", "a", "b")}
    images = {"a": 3, "b": 7, "c": 11}
    forth = average_states(states, images)["w"]
    back = average_states(dict(sorted(states.items())), images)["w"]
    assert torch.equal(forth, back)


def test_the_average_of_one_site_is_the_site():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    state = shared_state(network)
    average = average_states({"a": state}, {"a": 5})
    assert all(torch.equal(average[name], value) for name, value in network.state_dict().items())


def test_what_is_shared_is_a_copy():
    network = nn.Linear(1, 1)
    state = shared_state(network)
    with torch.no_grad():
        network.weight.add_(1)
    assert not torch.equal(state["weight"], network.weight)


@pytest.mark.parametrize("method", ["BYOL", "MoCo", "SwAV", "SimSiam"])
def test_teachers_are_shared_and_queues_are_not(method):
    network = small_method(method, **({"queue_size": 6} if method == "SwAV" else {}))
    names = set(shared_state(network))
    left = set(network.state_dict()) - names
    assert left == {name for name in network.state_dict() if name.startswith(("queue.", "queues."))}
    assert bool(left) is (method in ("MoCo", "SwAV"))
    assert any(name.startswith("teacher.") for name in names) is (method in ("BYOL", "MoCo"))


def test_weights_that_cannot_be_averaged_are_refused_with_the_reason():
    expected = {"w": torch.zeros(2), "n": torch.tensor(0)}
    assert fault_of(expected, expected) == ""
    assert "lack 1 entries and have 1" in fault_of({"w": torch.zeros(2), "x": torch.tensor(0)}, expected)
    assert "shape (3,) instead of (2,)" in fault_of({**expected, "w": torch.zeros(3)}, expected)
    assert "torch.float64" in fault_of({**expected, "w": torch.zeros(2).double()}, expected)
    assert "not finite" in fault_of({**expected, "w": torch.tensor([0.0, float("nan")])}, expected)
