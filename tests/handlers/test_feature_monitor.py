"""Spread and rank of features while training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from helpers.small_training import (
    SIZE,
    SmallPainter,
    same_weights,
    small_evaluator,
    small_images,
    small_training,
    weights,
)
from monai_ext.handlers import FeatureMonitor, ValidationRunner
from monai_ext.metrics import alignment, effective_rank, feature_std, uniformity


class Embedding(SmallPainter):
    """A network with a projection, as contrastive methods have; ``collapse`` makes its features constant."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(4, 3)

    def embed(self, images: Tensor) -> Tensor:
        return normalize(self.projection(self.encoder(images).mean((2, 3))), dim=1)

    def collapse(self) -> None:
        nn.init.zeros_(self.encoder[0].weight)
        nn.init.ones_(self.encoder[0].bias)


def two_views(images: Tensor, *, generator: torch.Generator | None = None) -> list[Tensor]:
    """The images with noise, twice."""
    return [images + 0.1 * torch.rand(images.shape, generator=generator) for _ in range(2)]


def _measure(network: nn.Module, *, runs: int = 1, **options) -> dict[str, float]:
    images = options.pop("images", small_images(12, seed=4))
    evaluator = small_evaluator(network, handlers=[FeatureMonitor(images, **options)])
    for _ in range(runs):
        evaluator.run()
    return evaluator.state.metrics


def test_values_are_those_of_the_features_in_evaluation_mode() -> None:
    network, images = SmallPainter(), small_images(12, seed=4)
    metrics = _measure(network, batch_size=5)
    with torch.no_grad():
        features = network.eval().encoder(torch.stack(images)).mean((2, 3))
    assert metrics["feature_std"] == pytest.approx(feature_std(features))
    assert metrics["effective_rank"] == pytest.approx(effective_rank(features))
    assert set(metrics) == {"val_loss", "feature_std", "effective_rank"}


def test_a_network_with_an_embedding_and_views_has_alignment_and_uniformity() -> None:
    network, images = Embedding(), torch.stack(small_images(12, seed=4))
    metrics = _measure(network, views=two_views, seed=7)
    with torch.no_grad():
        views = two_views(images, generator=torch.Generator().manual_seed(7))
        first, second = (network.eval().embed(view) for view in views)
    assert metrics["alignment"] == pytest.approx(alignment(first, second), rel=1e-4)
    assert metrics["uniformity"] == pytest.approx(uniformity(first), rel=1e-4)
    assert metrics["embedding_std"] == pytest.approx(feature_std(first), rel=1e-4)


def test_without_views_the_embedding_has_its_spread_only() -> None:
    assert set(_measure(Embedding())) == {"val_loss", "feature_std", "effective_rank", "embedding_std"}


def test_two_evaluations_of_one_network_are_equal() -> None:
    network = Embedding()
    assert _measure(network, views=two_views) == _measure(network, views=two_views, runs=2)


def test_a_collapse_is_said_once_and_again_after_a_recovery(caplog: pytest.LogCaptureFixture) -> None:
    network = Embedding()
    healthy = {name: value.clone() for name, value in network.state_dict().items()}
    evaluator = small_evaluator(network, handlers=[FeatureMonitor(small_images(12), min_std=0.01, min_rank=1.01)])
    evaluator.run()
    assert not caplog.text
    network.collapse()
    evaluator.run()
    evaluator.run()
    assert caplog.text.count("The features have collapsed: feature_std is") == 1
    assert "embedding_std is" in caplog.text
    assert "effective_rank is 1 (below 1.01), of 4 dimensions" in caplog.text
    network.load_state_dict(healthy)
    evaluator.run()
    network.collapse()
    evaluator.run()
    assert caplog.text.count("The features have collapsed") == 2
    assert evaluator.state.metrics["effective_rank"] == pytest.approx(1, abs=1e-3)


def test_an_untrained_network_is_not_said_to_have_collapsed(caplog: pytest.LogCaptureFixture) -> None:
    network = Embedding()
    network.collapse()
    evaluator = small_evaluator(network, handlers=[FeatureMonitor(small_images(12))])
    evaluator.state.training_iteration = 0
    evaluator.run()
    assert not caplog.text
    evaluator.state.training_iteration = 1
    evaluator.run()
    assert "The features have collapsed" in caplog.text


def test_training_with_the_monitor_ends_with_the_weights_of_training_without() -> None:
    trained = []
    for monitors in ([FeatureMonitor(small_images(9), views=two_views)], []):
        torch.manual_seed(1)
        network = Embedding()
        runner = ValidationRunner(small_evaluator(network, handlers=monitors), before_training=True)
        trained.append(weights(small_training([runner], network=network)))
    assert same_weights(*trained)


def test_features_that_are_not_finite_give_nan() -> None:
    network = SmallPainter()
    nn.init.constant_(network.encoder[0].weight, float("nan"))
    metrics = _measure(network)
    assert math.isnan(metrics["feature_std"])
    assert math.isnan(metrics["effective_rank"])


def test_few_images_are_said_and_not_measured(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "monai_ext.handlers.feature_monitor"):
        metrics = _measure(SmallPainter(), images=[torch.rand(1, SIZE, SIZE)] * 7)
    assert "7 held-out images are too few, 8 are needed" in caplog.text
    assert set(metrics) == {"val_loss"}


@pytest.mark.parametrize("numbers", [{"batch_size": 0}, {"max_images": 7}])
def test_numbers_out_of_range_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="batch_size is at least 1 and max_images at least 8"):
        FeatureMonitor([], **numbers)
