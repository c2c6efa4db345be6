"""k-NN accuracy while training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from helpers.small_training import SIZE, SmallPainter, same_weights, small_evaluator, small_training, weights
from monai_ext.data import LabelledImages, open_labelled_sets
from monai_ext.errors import DatasetError
from monai_ext.handlers import KNNMonitor, ValidationRunner


class BrightAndContrast(nn.Module):
    """A network whose features are mean and deviation of the image, and that notes whether it is in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.painter = SmallPainter()
        self.encoder = _MeanAndDeviation()

    def forward(self, *args, **options):
        return self.painter(*args, **options)

    def draw_visible(self, *args, **options):
        return self.painter.draw_visible(*args, **options)


class _MeanAndDeviation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.modes: set[bool] = set()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.modes.add(self.training)
        return torch.stack([images.mean((1, 2, 3)), images.std((1, 2, 3))], dim=1)


@pytest.fixture
def labelled(tmp_path: Path) -> LabelledImages:
    """Six flat and four noisy pictures, of five patients with both."""
    rng = np.random.default_rng(0)
    rows = ["file,label,patient_id"]
    for number in range(10):
        pixels = rng.integers(0, 256, (SIZE, SIZE)) if number >= 6 else np.full((SIZE, SIZE), 100 + number)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'noisy' if number >= 6 else 'flat'},{number % 5}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return open_labelled_sets(str(tmp_path), image_size=SIZE)[0]


def _measured(labelled: LabelledImages, network: nn.Module | None = None, **options) -> dict[str, float]:
    evaluator = small_evaluator(
        BrightAndContrast() if network is None else network, handlers=[KNNMonitor(labelled, **options)]
    )
    evaluator.run()
    return evaluator.state.metrics


def test_features_that_tell_the_classes_apart_are_always_right(labelled: LabelledImages) -> None:
    metrics = _measured(labelled, k=1)
    assert metrics[f"knn_accuracy_{labelled.name}"] == metrics[f"knn_balanced_accuracy_{labelled.name}"] == 1.0


def test_equal_features_guess_the_more_frequent_class(labelled: LabelledImages) -> None:
    network = BrightAndContrast()
    network.encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 3))
    nn.init.zeros_(network.encoder[1].weight)
    nn.init.ones_(network.encoder[1].bias)
    metrics = _measured(labelled, network, k=8, temperature=None)
    assert metrics[f"knn_accuracy_{labelled.name}"] == 0.6
    assert metrics[f"knn_balanced_accuracy_{labelled.name}"] == 0.5


def test_several_k_have_names_of_their_own(labelled: LabelledImages) -> None:
    names = {name for name in _measured(labelled, k=[1, 3]) if name.startswith("knn_accuracy")}
    assert names == {f"knn_accuracy_{labelled.name}_k1", f"knn_accuracy_{labelled.name}_k3"}


def test_the_encoder_is_in_evaluation_mode_and_goes_back(labelled: LabelledImages) -> None:
    network = BrightAndContrast().train()
    _measured(labelled, network, k=1)
    assert network.encoder.modes == {False}
    assert network.encoder.training


def test_training_with_the_monitor_ends_with_the_weights_of_training_without(labelled: LabelledImages) -> None:
    trained = []
    for monitors in ([KNNMonitor(labelled, k=2, batch_size=3)], []):
        torch.manual_seed(1)
        network = SmallPainter()
        runner = ValidationRunner(small_evaluator(network, handlers=monitors), before_training=True)
        trained.append(weights(small_training([runner], network=network)))
    assert same_weights(*trained)


def test_weights_that_are_not_finite_give_nan_and_leave_stopping_to_the_guard(labelled: LabelledImages) -> None:
    network = SmallPainter()
    nn.init.constant_(network.encoder[0].weight, float("nan"))
    assert np.isnan(_measured(labelled, network, k=1)[f"knn_accuracy_{labelled.name}"])


def test_at_most_so_many_images_are_used(labelled: LabelledImages) -> None:
    network = BrightAndContrast()
    seen: list[int] = []
    network.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    _measured(labelled, network, k=1, max_images=5, batch_size=3)
    assert seen == [3, 2]


def test_no_labelled_set_does_nothing() -> None:
    assert set(_measured(None)) == {"val_loss"}


def test_a_set_that_is_too_small_for_k_is_refused_at_once(labelled: LabelledImages) -> None:
    with pytest.raises(DatasetError, match=rf"set {labelled.name} cannot be used .* Lower k to at most 8"):
        KNNMonitor(labelled, k=20)


def test_two_sets_of_one_name_are_refused(labelled: LabelledImages) -> None:
    with pytest.raises(ValueError, match="needs a name of its own"):
        KNNMonitor([labelled, labelled], k=1)


@pytest.mark.parametrize("option", ["batch_size", "max_images"])
def test_numbers_below_one_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KNNMonitor(None, **{option: 0})
