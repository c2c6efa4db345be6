"""Every method that compares views: two processes end with the state of one process on the joint batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from monai.networks.nets import ResNet
from pytorch_optimizer import LARS
from torch import Tensor, nn

from helpers.contrastive_models import LOSSES, small_method
from helpers.two_processes import run_two_processes
from monai_ext.engines import PretrainingTrainer, TrainingLength, distribute, unwrap
from monai_ext.handlers import MomentumUpdater, PrototypeFreezer
from monai_ext.inferers import MultiViewInferer
from monai_ext.networks import split_batch_norm
from monai_ext.optimizers import parameter_groups

ITERATIONS, BATCH, CHANNELS = 4, 8, 2
"""Two channels: with one, channels last is no other order of the pixels."""


def encoder() -> nn.Module:
    return ResNet(
        "basic", [1, 1, 1, 1], [4, 8, 8, 16], 2, CHANNELS, conv1_t_stride=2, bias_downsample=False, feed_forward=False
    )


OPTIONS: dict[str, dict[str, Any]] = {"MoCo": {"queue": 14}, "SwAV": {"count": 10, "queue_size": 16}}
"""The size of MoCo's queue is no multiple of the batch."""
HANDLERS: dict[str, list[Callable[[], Any]]] = {
    "BYOL": [lambda: MomentumUpdater(0.9, schedule="cosine")],
    "MoCo": [lambda: MomentumUpdater(0.9)],
    "SwAV": [lambda: PrototypeFreezer(1)],
}


def two_views(images: Tensor) -> list[Tensor]:
    """Views that draw nothing, so that it does not matter which process has the image."""
    return [images, images.flip(-1) * 0.8]


def multi_crop(images: Tensor) -> list[Tensor]:
    return [*two_views(images), images[..., :32, :32], images[..., 16:48, 32:]]


def network_of(method: str) -> nn.Module:
    """MoCo's batch is normalised in four groups of the joint one."""
    torch.manual_seed(0)
    own = split_batch_norm(encoder(), groups=4) if method == "MoCo" else encoder()
    return small_method(method, own, features=16, scale=2, **OPTIONS.get(method, {}))


def train(method: str, rank: int, processes: int, folder: str) -> None:
    network = distribute(network_of(method), device="cpu")
    generator = torch.Generator().manual_seed(1)
    batches = torch.rand(ITERATIONS, BATCH, CHANNELS, 64, 64, dtype=torch.float64, generator=generator)
    sample_ids = torch.stack([torch.randperm(10, generator=generator)[:BATCH] for _ in batches])
    groups = parameter_groups(network, weight_decay=1e-4)
    trainer = PretrainingTrainer(
        "cpu",
        network=network,
        optimizer=LARS(groups, lr=5.0) if method == "SwAV" else torch.optim.SGD(groups, lr=0.05, momentum=0.9),
        loss_function=LOSSES[method],
        train_data_loader=[
            {"image": batch.chunk(processes)[rank], "sample_id": ids.chunk(processes)[rank]}
            for batch, ids in zip(batches, sample_ids, strict=True)
        ],
        length=TrainingLength(ITERATIONS * BATCH, batch_size=BATCH, epochs=1),
        views=multi_crop if method == "SwAV" else two_views,
        inferer=MultiViewInferer(),
        handlers=[handler() for handler in HANDLERS.get(method, ())],
    )
    torch.manual_seed(5)  # the shuffled order of MoCo's keys is the first process's
    trainer.run()
    torch.save(unwrap(network).state_dict(), Path(folder) / f"{method}-{processes}-{rank}.pt")


def train_all(rank: int, folder: Path) -> None:
    """One of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for method in LOSSES:
        train(method, rank, 2, str(folder))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both processes have left the state of every method."""
    folder = tmp_path_factory.mktemp("two_processes")
    run_two_processes(train_all, folder)
    return folder


@pytest.mark.parametrize("method", LOSSES)
def test_two_processes_train_like_one_on_the_joint_batch(method: str, folder: Path) -> None:
    train(method, 0, 1, str(folder))
    first, second, alone = (torch.load(folder / f"{method}-{name}.pt") for name in ("2-0", "2-1", "1-0"))
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
        torch.testing.assert_close(second[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")
    start = network_of(method).state_dict()
    unmoved = {name for name, value in alone.items() if value.is_floating_point() and torch.equal(value, start[name])}
    last = f"projection.layers.{len(network_of(method).projection.layers) - 1}.bias"
    assert unmoved <= {last, f"teacher.{last}"}  # a predictor normalises it away
