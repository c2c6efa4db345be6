"""A complete pre-training that takes milliseconds, for the tests of engines and handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_ext.data import StreamSampler, slice_loader
from monai_ext.engines import PretrainingEvaluator, PretrainingTrainer, TrainingLength
from monai_ext.inferers import MaskedImageInferer
from monai_ext.losses import MaskedReconstructionLoss
from monai_ext.optimizers import LAMB, WarmupCosine, parameter_groups

PATCH = 4
SIZE = 16


class SmallPainter(nn.Module):
    """The least network with SparK's interface: an encoder with batch norm and dropout, a mask token, a decoder."""

    def __init__(self, width: int = 4, in_channels: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, width, PATCH, stride=PATCH), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.mask_token = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.ConvTranspose2d(width, in_channels, 3 * PATCH, stride=PATCH, padding=PATCH)  # sees neighbours

    def forward(self, image: Tensor, visible: Tensor | None = None, *, return_visible: bool = False) -> Any:
        visible = self.draw_visible(image) if visible is None else visible
        features = torch.where(visible, self.encoder(image), self.mask_token)
        prediction = self.decoder(self.dropout(features))
        return (prediction, visible) if return_visible else prediction

    def draw_visible(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Every patch is visible with probability one half, and one of them is masked for certain."""
        visible = torch.rand(len(image), 1, SIZE // PATCH, SIZE // PATCH, generator=generator) < 0.5
        visible[:, :, 0, 0] = False
        return visible.to(image.device)


def small_images(count: int = 12, seed: int = 1, side: int = SIZE) -> list[Tensor]:
    """Random images, (1, 16, 16) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return list(torch.rand(count, 1, side, side, generator=generator))


def random_shift(images: Tensor) -> Tensor:
    """Views that draw from the global stream, as augmentation does."""
    return images.roll(int(torch.randint(SIZE, ())), dims=-1)


def small_length(images_seen: int = 56) -> TrainingLength:
    """By default 14 iterations: 4 epochs of three and one that is cut short."""
    return TrainingLength(12, batch_size=4, images_seen=images_seen)


def small_trainer(
    handlers: Sequence[Any] = (),
    *,
    network: nn.Module | None = None,
    length: TrainingLength | None = None,
    images: list[Tensor] | None = None,
    patch_size: int = PATCH,
    lr: float = 0.01,
    seed: int = 0,
    num_workers: int = 0,
    **options: Any,
) -> PretrainingTrainer:
    """A trainer on the CPU; everything random follows the seed, which is set here."""
    torch.manual_seed(seed)
    network = SmallPainter() if network is None else network
    length = small_length() if length is None else length
    images = small_images() if images is None else images
    return PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=LAMB(parameter_groups(network, weight_decay=0.04), lr=lr),
        loss_function=MaskedReconstructionLoss(patch_size),
        train_data_loader=slice_loader(
            images, batch_size=4, sampler=StreamSampler(images, seed=2), num_workers=num_workers
        ),
        length=length,
        schedules=[
            WarmupCosine("lr", length=length, warmup_epochs=1, warmup_factor=0.005, final_factor=0.001),
            WarmupCosine("weight_decay", length=length, start=0.04, final=0.2),
        ],
        handlers=handlers,
        **{"inferer": MaskedImageInferer(), "views": random_shift, "precision": "fp32", **options},
    )


def small_training(handlers: Sequence[Any] = (), **options: Any) -> PretrainingTrainer:
    """A trainer that has run; nothing is drawn between seeding and training."""
    trainer = small_trainer(handlers, **options)
    trainer.run()
    return trainer


def small_evaluator(network: nn.Module, *, patch_size: int = PATCH, **options: Any) -> PretrainingEvaluator:
    """An evaluator on five held-out images, in a batch of four and one of one."""
    return PretrainingEvaluator(
        "cpu",
        network=network,
        loss_function=MaskedReconstructionLoss(patch_size),
        val_data_loader=slice_loader(small_images(5, seed=9), batch_size=4, num_workers=0),
        **{"inferer": MaskedImageInferer(), **options},
    )


def weights(trainer: PretrainingTrainer) -> dict[str, Tensor]:
    """Parameters and buffers of the trained network, copied."""
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def same_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """True when all tensors are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
