"""Prototypes stay, weight and optimiser state, for exactly as many iterations as asked for."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from pytorch_optimizer import LARS
from torch import Tensor, nn

from monai_ext.engines import PretrainingTrainer, TrainingLength
from monai_ext.handlers import PrototypeFreezer
from monai_ext.inferers import MultiViewInferer
from monai_ext.networks import Prototypes


class Grows(nn.Module):
    """Prototypes and another weight that every step moves."""

    def __init__(self) -> None:
        super().__init__()
        self.prototypes = Prototypes(2, features=2)
        self.weight = nn.Parameter(torch.ones(2, 2))

    def forward(self, views: Tensor) -> tuple[Tensor]:
        return (-self.prototypes.weight.sum() - self.weight.sum(),)


def changes(freezer: PrototypeFreezer, optimizer: type[torch.optim.Optimizer], **options) -> list[tuple[bool, ...]]:
    """After each of four iterations: did prototypes move, does the optimiser know them, did others move."""
    network, seen = Grows(), []
    before = network.prototypes.weight.detach().clone()
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=optimizer(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1),
        loss_function=lambda loss: loss,
        train_data_loader=[torch.zeros(2, 1, 1, 1)] * 4,
        length=TrainingLength(8, batch_size=2, epochs=1),
        inferer=MultiViewInferer(),
        handlers=[freezer],
        **options,
    )

    @trainer.on(Events.ITERATION_COMPLETED)
    def look() -> None:
        moved = not torch.equal(network.prototypes.weight, before)
        known = network.prototypes.weight in trainer.optimizer.state
        seen.append((moved, known, not torch.equal(network.weight, torch.ones(2, 2))))

    trainer.run()
    return seen


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, LARS])
@pytest.mark.parametrize("options", [{}, {"accumulation_steps": 2}, {"gradient_clip_norm": 1.0}])
@pytest.mark.parametrize("iterations", [0, 2, 3, 9])
def test_weight_and_optimiser_state_stay_for_exactly_so_many_iterations(iterations, optimizer, options):
    expected = [(number > iterations, number > iterations, True) for number in (1, 2, 3, 4)]
    assert changes(PrototypeFreezer(iterations), optimizer, **options) == expected


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="0 iterations or more; received -1"):
        PrototypeFreezer(-1)
