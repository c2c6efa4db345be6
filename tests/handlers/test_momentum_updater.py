"""The teacher follows after each optimiser step, by a decay that is worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Events
from torch import Tensor, nn

from monai_ext.engines import PretrainingTrainer, TrainingLength
from monai_ext.handlers import MomentumUpdater
from monai_ext.inferers import MultiViewInferer


class Grows(nn.Module):
    """A weight that grows by 1 a step, and the teacher's copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.teacher = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.decays: list[float] = []

    def forward(self, views: Tensor) -> tuple[Tensor]:
        return (-self.weight,)

    def update_teacher(self, decay: float) -> None:
        self.decays.append(decay)
        with torch.no_grad():
            self.teacher.copy_(decay * self.teacher + (1 - decay) * self.weight)


def teachers(updater: MomentumUpdater, *, steps: int = 4, **options) -> tuple[list[float], list[float]]:
    """Value of the teacher after each step, and the decays."""
    network, values = Grows(), []
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=torch.optim.SGD([network.weight], lr=1.0),
        loss_function=lambda loss: loss,
        train_data_loader=[torch.zeros(2, 1, 1, 1)] * 2,
        length=TrainingLength(4, batch_size=2, images_seen=2 * steps),
        inferer=MultiViewInferer(),
        handlers=[updater],
        **options,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: values.append(network.teacher.item()))
    trainer.run()
    return values, network.decays


def test_the_teacher_follows_after_each_step_of_the_optimiser():
    values, decays = teachers(MomentumUpdater(0.5))
    assert values == [0.5, 1.25, 2.125, 3.0625]  # the weight is 1, 2, 3, 4 when the teacher follows
    assert decays == [0.5] * 4


def test_a_rising_decay_is_applied_step_by_step():
    values, decays = teachers(MomentumUpdater(0.8, schedule="cosine"))
    # 1 - 0.2 (cos(pi k / 4) + 1) / 2 at k = 0 .. 3
    expected = [0.8, 0.9 - 0.1 * math.sqrt(0.5), 0.9, 0.9 + 0.1 * math.sqrt(0.5)]
    assert decays == pytest.approx(expected)
    teacher = 0.0
    for weight, decay, value in zip((1, 2, 3, 4), expected, values, strict=True):
        teacher = decay * teacher + (1 - decay) * weight
        assert value == pytest.approx(teacher)


def test_byols_decay_starts_at_its_base_is_half_way_at_half_time_and_ends_at_one():
    updater = MomentumUpdater(0.996, schedule="cosine")
    taus = [updater.value(step, steps=1000) for step in (0, 500, 1000)]
    assert taus == pytest.approx([0.996, 0.998, 1.0], abs=1e-15)


def test_the_rising_decay_never_falls():
    updater = MomentumUpdater(0.99, schedule="cosine")
    taus = [updater.value(step, steps=321) for step in range(322)]
    assert taus == sorted(taus)


def test_batches_cut_into_parts_are_followed_once_a_step():
    assert teachers(MomentumUpdater(0.5), accumulation_steps=2) == teachers(MomentumUpdater(0.5))


def test_a_training_stopped_earlier_follows_the_curve_of_its_whole_length():
    _, decays = teachers(MomentumUpdater(0.8, schedule="cosine"), max_epochs=1)
    assert decays == teachers(MomentumUpdater(0.8, schedule="cosine"))[1][:2]


@pytest.mark.parametrize("decay", [-0.1, 1.01])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"within \[0, 1\]; received decay="):
        MomentumUpdater(decay)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="'constant' or 'cosine'; received 'linear'"):
        MomentumUpdater(schedule="linear")
