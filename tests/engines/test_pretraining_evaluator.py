"""Evaluation on held-out images."""

from __future__ import annotations

import pytest
import torch
from small_training import SmallPainter, small_evaluator, small_images

from monai_ext.losses import MaskedReconstructionLoss


@pytest.fixture
def network() -> SmallPainter:
    torch.manual_seed(0)
    return SmallPainter()


def test_the_value_is_the_mean_over_images_with_the_masks_of_the_seed(network):
    evaluator = small_evaluator(network, seed=3)
    evaluator.run()
    images, loss_function, total = small_images(5, seed=9), MaskedReconstructionLoss(4), 0.0
    network.eval()
    for number, batch in ((1, torch.stack(images[:4])), (2, torch.stack(images[4:]))):
        visible = network.draw_visible(batch, torch.Generator().manual_seed(3 * 1_000_003 + number))
        with torch.no_grad():
            total += len(batch) * loss_function(network(batch, visible), batch, visible).item()
    assert evaluator.state.metrics == {"val_loss": pytest.approx(total / 5)}
    assert isinstance(evaluator.state.metrics["val_loss"], float)


def test_the_value_repeats_and_another_seed_gives_another(network):
    values = []
    for seed in (0, 0, 1):
        evaluator = small_evaluator(network, seed=seed)
        evaluator.run()
        evaluator.run()
        values.append(evaluator.state.metrics["val_loss"])
    assert values[0] == values[1] != values[2]


def test_evaluation_changes_neither_the_network_nor_the_random_streams(network):
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stream = torch.get_rng_state()
    small_evaluator(network, views=lambda images: images + torch.rand(()) * 0).run()
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)


def test_the_best_value_is_the_smallest(network):
    evaluator = small_evaluator(network)
    evaluator.run(1)
    first = evaluator.state.metrics["val_loss"]
    with torch.no_grad():
        network.decoder.weight.mul_(50)
    evaluator.run(2)
    assert evaluator.state.metrics["val_loss"] > first
    assert (evaluator.state.best_metric, evaluator.state.best_metric_epoch) == (first, 1)
