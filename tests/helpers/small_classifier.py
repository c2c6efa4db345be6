"""A complete fine-tuning on MONAI's trainer that takes milliseconds, for the tests of its handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import Tensor, nn

from monai_ext.data import StreamSampler, slice_loader
from monai_ext.engines import AugmentedBatch, TrainingLength
from monai_ext.handlers import TrainingBookkeeping
from monai_ext.inferers import PrecisionInferer
from monai_ext.optimizers import fine_tuning_groups


class SmallClassifier(nn.Module):
    """An encoder with batch norm, and a head called ``fc`` as in a ResNet."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 4, stride=4)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.bn1(self.conv1(images)).relu().mean(dim=(2, 3)))


def labelled_images(count: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """Random images (1, 8, 8); those of class 1 are brighter."""
    images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) / 2
    return [{"image": image + 0.5 * (number % 2), "label": number % 2} for number, image in enumerate(images)]


def noisy(images: Tensor) -> Tensor:
    """Views that draw from the global stream, as augmentation does."""
    return images + 0.01 * torch.rand(images.shape)


def classifier_evaluator(network: nn.Module, handlers: Sequence[Any] = ()) -> SupervisedEvaluator:
    """An evaluator on eight held-out images."""
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        network=network,
        val_data_loader=slice_loader(labelled_images(8, seed=5), batch_size=4, num_workers=0),
        decollate=False,
        val_handlers=list(handlers),
    )


def classifier_trainer(
    handlers: Callable[[nn.Module], Sequence[Any]] = lambda network: (),
    *,
    epochs: int = 4,
    network: nn.Module | None = None,
    seed: int = 0,
) -> SupervisedTrainer:
    """A trainer of three iterations an epoch; ``handlers`` are made for its network."""
    torch.manual_seed(seed)
    network = SmallClassifier() if network is None else network
    images = labelled_images()
    length = TrainingLength(len(images), batch_size=4, epochs=epochs)
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=length.max_epochs,
        epoch_length=length.epoch_length,
        train_data_loader=slice_loader(images, batch_size=4, sampler=StreamSampler(images, seed=2), num_workers=0),
        network=network,
        optimizer=torch.optim.Adam(fine_tuning_groups(network, learning_rate=0.1, weight_decay=0.01)),
        loss_function=nn.CrossEntropyLoss(),
        prepare_batch=AugmentedBatch(noisy),
        inferer=PrecisionInferer(),
        decollate=False,
        optim_set_to_none=True,
        train_handlers=[TrainingBookkeeping(length), *handlers(network)],
    )
