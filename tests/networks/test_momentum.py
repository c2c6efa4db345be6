"""The teacher: a moving average that is worked out by hand, without gradients, with batch statistics of its own."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from monai_ext.networks import MomentumEncoder


def one_weight(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, value)
    return layer


def test_the_teacher_of_a_weight_that_grows_by_one_a_step_is_worked_out_by_hand():
    student = {"encoder": one_weight(0.0)}
    teacher = MomentumEncoder(student)
    values = []
    for _ in range(3):
        with torch.no_grad():
            student["encoder"].weight.add_(1.0)
        teacher.update(student, decay=0.5)
        values.append(teacher.encoder.weight.item())
    assert values == [0.5, 1.25, 2.125]  # (0 + 1) / 2, (0.5 + 2) / 2, (1.25 + 3) / 2


@pytest.mark.parametrize(("decay", "expected"), [(1.0, 3.0), (0.0, 7.0)])
def test_decay_one_keeps_the_teacher_and_zero_copies_the_student(decay, expected):
    teacher = MomentumEncoder({"encoder": one_weight(3.0)})
    teacher.update({"encoder": one_weight(7.0)}, decay=decay)
    assert teacher.encoder.weight.item() == expected


def test_modules_run_in_their_order():
    teacher = MomentumEncoder({"twice": one_weight(2.0), "clipped": nn.Hardtanh(), "thrice": one_weight(3.0)})
    assert teacher(torch.full((1, 1), 5.0, dtype=torch.float64)).item() == 3.0


def test_each_module_follows_its_namesake():
    student = {"encoder": one_weight(0.0), "projection": one_weight(10.0)}
    teacher = MomentumEncoder(student)
    teacher.update({"projection": one_weight(20.0), "encoder": one_weight(4.0)}, decay=0.75)
    assert (teacher.encoder.weight.item(), teacher.projection.weight.item()) == (1.0, 12.5)


def test_the_student_is_copied_and_left_as_it_was():
    student = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = deepcopy(student.state_dict())
    teacher = MomentumEncoder({"encoder": student})
    teacher.update({"encoder": student}, decay=0.3)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(param.requires_grad for param in student.parameters())
    assert {id(param) for param in teacher.parameters()}.isdisjoint(map(id, student.parameters()))


def test_no_gradient_passes_through_the_teacher():
    teacher = MomentumEncoder({"encoder": nn.Linear(2, 2)})
    images = torch.rand(3, 2, requires_grad=True)
    assert not teacher(images).requires_grad
    assert not any(param.requires_grad for param in teacher.parameters())


def test_batch_statistics_are_the_teachers_own():
    student = nn.BatchNorm1d(1, momentum=1.0)
    teacher = MomentumEncoder({"encoder": student})
    teacher(torch.tensor([[1.0], [3.0]]))
    teacher.update({"encoder": student}, decay=0.0)
    assert (teacher.encoder.running_mean.item(), student.running_mean.item()) == (2.0, 0.0)


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    teacher = MomentumEncoder({"encoder": one_weight(0.0)})
    with pytest.raises(ValueError, match=r"within \[0, 1\]; received decay="):
        teacher.update({"encoder": one_weight(1.0)}, decay=decay)
