"""The four pre-training methods with an encoder of a few thousand weights, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from monai.networks import nets
from pytorch_optimizer import LARS
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from monai_ext.data import StreamSampler, slice_loader
from monai_ext.engines import PretrainingTrainer, TrainingLength, distribute
from monai_ext.handlers import MomentumUpdater, PrototypeFreezer
from monai_ext.inferers import MaskedImageInferer, MultiViewInferer
from monai_ext.losses import InfoNCELoss, MaskedReconstructionLoss, NegativeCosineSimilarity, SwappedAssignmentLoss
from monai_ext.networks import (
    BYOL,
    MoCo,
    MomentumQueue,
    PredictionHead,
    ProjectionHead,
    Prototypes,
    SparK,
    SparKDecoder,
    SwAV,
    split_batch_norm,
)
from monai_ext.optimizers import LAMB, WarmupCosine, parameter_groups
from monai_ext.transforms import MultiView, RandomView, RandResizedCropFlip

SIZE, BATCH = 32, 8
"""Pixels of the (global) views, and images of a step."""


class Method(NamedTuple):
    """The parts in which methods differ; functions that build them anew."""

    network: Callable[[], nn.Module]
    loss: nn.Module
    optimizer: Callable[..., Optimizer]
    views: Callable[[], Any]
    inferer: Any
    handlers: Callable[[], list[Any]]


def encoder() -> nn.Module:
    """A ResNet of total stride 32 that gives 16 features."""
    return nets.ResNet(
        "basic", [1, 1, 1, 1], [8, 8, 16, 16], 2, 1, conv1_t_stride=2, bias_downsample=False, feed_forward=False
    )


def projection(*, batch_norm: bool) -> ProjectionHead:
    return ProjectionHead(16, hidden_features=16, out_features=8, batch_norm=batch_norm)


def global_views() -> MultiView:
    view = RandomView(SIZE, scale=[0.8, 1.0], flips=[0, 0], rotation=None, blur=None)
    return MultiView({"global": view}, counts={"global": 2})


def multi_crop() -> MultiView:
    augmentations = {"global": RandomView(SIZE, scale=[0.8, 1.0]), "local": RandomView(24, scale=[0.1, 0.4])}
    return MultiView(augmentations, counts={"global": 2, "local": 2})


METHODS = {
    "spark": Method(
        network=lambda: SparK(encoder(), SparKDecoder(32), masked_fraction=0.5, drop_path_rate=0.1),  # type: ignore[arg-type]
        loss=MaskedReconstructionLoss(),
        optimizer=LAMB,
        views=lambda: RandResizedCropFlip(2 * SIZE),
        inferer=MaskedImageInferer(),
        handlers=list,
    ),
    "byol": Method(
        network=lambda: BYOL(
            encoder(), projection=projection(batch_norm=True), prediction=PredictionHead(8, hidden_features=16)
        ),
        loss=NegativeCosineSimilarity(),
        optimizer=Adam,
        views=global_views,
        inferer=MultiViewInferer(),
        handlers=lambda: [MomentumUpdater(0.9, schedule="cosine")],
    ),
    "moco_v2": Method(
        network=lambda: MoCo(
            split_batch_norm(encoder(), groups=2),
            projection=projection(batch_norm=False),
            queue=MomentumQueue(10, features=8),
        ),
        loss=InfoNCELoss(),
        optimizer=lambda groups, lr: SGD(groups, lr=lr, momentum=0.9),
        views=global_views,
        inferer=MultiViewInferer(),
        handlers=lambda: [MomentumUpdater(0.9)],
    ),
    "swav": Method(
        network=lambda: SwAV(
            encoder(), projection=projection(batch_norm=True), prototypes=Prototypes(6, features=8), queue_size=8
        ),
        loss=SwappedAssignmentLoss(),
        optimizer=LARS,
        views=multi_crop,
        inferer=MultiViewInferer(),
        handlers=lambda: [PrototypeFreezer(2)],
    ),
}


def images(count: int = 24, *, side: int | None = None) -> list[Tensor]:
    """Smooth random images, (1, S, S) in [0, 1], each of another pattern."""
    side = 2 * SIZE + 8 if side is None else side
    coarse = torch.rand(count, 1, 5, 5, generator=torch.Generator().manual_seed(3))
    return list(nn.functional.interpolate(coarse, size=side, mode="bilinear", align_corners=True))


def trainer_for(
    name: str,
    handlers: Sequence[Any] = (),
    *,
    images_seen: int = 6 * BATCH,
    dataset: list[Tensor] | None = None,
    lr: float = 0.01,
    seed: int = 0,
    device: str = "cpu",
    **options: Any,
) -> PretrainingTrainer:
    """A trainer of the method as its bundle puts it together; everything random follows the seed, set here."""
    method = METHODS[name]
    torch.manual_seed(seed)
    dataset = images() if dataset is None else dataset
    length = TrainingLength(len(dataset), batch_size=BATCH, images_seen=images_seen)
    network = distribute(method.network(), device=device)
    return PretrainingTrainer(
        device,
        network=network,
        optimizer=method.optimizer(parameter_groups(network, weight_decay=1e-4), lr=lr),
        loss_function=method.loss,
        train_data_loader=slice_loader(
            dataset,  # type: ignore[arg-type]
            batch_size=BATCH,
            sampler=StreamSampler(dataset, seed=2),  # type: ignore[arg-type]
            num_workers=0,
        ),
        length=length,
        schedules=[WarmupCosine("lr", length=length, warmup_epochs=0.5, final_factor=0.1)],
        handlers=[*method.handlers(), *handlers],
        **{"views": method.views(), "inferer": method.inferer, "precision": "fp32", **options},
    )
