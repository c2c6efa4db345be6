"""SwAV's queues start at the iteration that was asked for, by epochs or by images, and the same after a stop."""

from __future__ import annotations

import logging

import pytest
import torch
from ignite.engine import Events
from torch import Tensor, nn

from monai_ext.engines import PretrainingTrainer, TrainingLength
from monai_ext.handlers import QueueStarter
from monai_ext.inferers import MultiViewInferer


class Notes(nn.Module):
    """Notes at each iteration whether its queues have started."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.queue_started = True
        self.seen: list[bool] = []

    def forward(self, views: Tensor) -> tuple[Tensor]:
        self.seen.append(self.queue_started)
        return (self.weight,)


def started(starter: QueueStarter, length: TrainingLength, *, after: int = 0) -> list[bool]:
    network = Notes()
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=lambda loss: loss,
        train_data_loader=[torch.zeros(2, 1, 1, 1)] * length.epoch_length,
        length=length,
        inferer=MultiViewInferer(),
        handlers=[starter],
    )

    @trainer.on(Events.STARTED)
    def resume() -> None:
        trainer.state.iteration, trainer.state.epoch = after, after // length.epoch_length

    trainer.run()
    return network.seen


def test_the_authors_epoch_is_the_default_for_lengths_in_epochs():
    assert QueueStarter().iterations_without(TrainingLength(1000, batch_size=10, epochs=800)) == 1500
    assert QueueStarter().iterations_without(TrainingLength(1000, batch_size=10, epochs=16)) == 1500


def test_a_budget_in_images_waits_for_as_many_images_and_a_quarter_at_most():
    assert QueueStarter().iterations_without(TrainingLength(1000, batch_size=10, images_seen=800_000)) == 1500
    assert QueueStarter().iterations_without(TrainingLength(1000, batch_size=10, images_seen=8_000)) == 200


@pytest.mark.parametrize("budget", [{"epochs": 9}, {"images_seen": 90}])
def test_images_can_be_given_for_any_length(budget):
    assert QueueStarter(images_seen=41).iterations_without(TrainingLength(10, batch_size=10, **budget)) == 5


@pytest.mark.parametrize(("starter", "first"), [(QueueStarter(1), 2), (QueueStarter(0), 0), (QueueStarter(9), 6)])
def test_queues_start_with_the_iteration_after(starter, first):
    assert started(starter, TrainingLength(4, batch_size=2, epochs=3)) == [number >= first for number in range(6)]


def test_a_resumed_training_starts_them_at_the_same_iteration():
    length = TrainingLength(4, batch_size=2, epochs=3)
    assert started(QueueStarter(2), length, after=2) == [False, False, True, True]
    assert started(QueueStarter(1), length, after=4) == [True, True]


def test_a_training_that_ends_before_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        started(QueueStarter(), TrainingLength(4, batch_size=2, epochs=3))
    assert "never start: the training has 6 iterations, they start after 30" in caplog.text


@pytest.mark.parametrize("options", [{"epochs": -1}, {"images_seen": -1}])
def test_a_negative_start_is_refused(options):
    with pytest.raises(ValueError, match="after 0 or more epochs, or images; received"):
        QueueStarter(**options)
