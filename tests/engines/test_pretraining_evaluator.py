"""Evaluation on held-out images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from helpers.small_training import SmallPainter, small_evaluator, small_images
from monai_ext.engines import PretrainingEvaluator
from monai_ext.inferers import MultiViewInferer
from monai_ext.losses import MaskedReconstructionLoss, NegativeCosineSimilarity
from monai_ext.networks import BYOL, PredictionHead, ProjectionHead


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
    small_evaluator(network, views=lambda images, generator: images + torch.rand(()) * 0).run()
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


def noisy_views(images: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
    return [images + torch.rand(images.shape, generator=generator) for _ in range(2)]


def test_the_value_of_a_contrastive_method_is_the_mean_over_images_of_views_of_the_seed():
    network = BYOL(
        nn.Sequential(nn.Flatten(), nn.Linear(256, 4)),
        projection=ProjectionHead(4, hidden_features=4, out_features=3, batch_norm=True),
        prediction=PredictionHead(3, hidden_features=4),
    )
    images = torch.stack(small_images(5, seed=9))
    evaluator = PretrainingEvaluator(
        "cpu",
        network=network,
        loss_function=NegativeCosineSimilarity(),
        val_data_loader=[images[:4], images[4:]],  # the last batch has one image
        inferer=MultiViewInferer(),
        views=noisy_views,
        seed=3,
    )
    evaluator.run()
    network.eval()
    total = 0.0
    for number, batch in ((1, images[:4]), (2, images[4:])):
        views = noisy_views(batch, torch.Generator().manual_seed(3 * 1_000_003 + number))
        total += len(batch) * NegativeCosineSimilarity()(*network(views)).item()
    assert evaluator.state.metrics["val_loss"] == pytest.approx(total / 5)
