"""The pre-training methods of all bundles with an encoder of a few thousand weights, for tests that hold for all.

A method is what its bundle's ``train.json`` with ``smoke.json`` says: network, loss, optimiser, views, inferer, and the
handlers that no other method has. Sizes alone are made smaller here, the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.bundle import ConfigParser
from monai.networks import nets
from torch import Tensor, nn
from torch.optim import Optimizer

from helpers.bundle_files import PRETRAINING, merged_config, tiny_model
from monai_ext.data import endless_loader
from monai_ext.engines import PretrainingTrainer, TrainingLength, distribute
from monai_ext.optimizers import WarmupCosine

SIZE, BATCH = 64, 16
"""Pixels of the (global) views, and images of a step, which is what smoke.json has."""


class Method(NamedTuple):
    """The parts in which methods differ; functions that build them anew."""

    network: Callable[[], nn.Module]
    loss: Callable[[], nn.Module]
    optimizer: Callable[..., Optimizer]
    views: Callable[[], Any]
    inferer: Callable[[], Any]
    handlers: Callable[[], list[Any]]


def encoder() -> nn.Module:
    """The encoder of all: a ResNet of total stride 32 that gives 32 features."""
    return nets.ResNet(
        "basic", [1, 1, 1, 1], [8, 8, 16, 32], 2, 1, conv1_t_stride=2, bias_downsample=False, feed_forward=False
    )


def images(count: int = 48, *, side: int = SIZE + 8) -> list[Tensor]:
    """Smooth random images, (1, S, S) in [0, 1], each of another pattern."""
    coarse = torch.rand(count, 1, 5, 5, generator=torch.Generator().manual_seed(3))
    return list(nn.functional.interpolate(coarse, size=side, mode="bilinear", align_corners=True))


def _handler_targets(bundle: Path) -> set[str]:
    return {handler["_target_"] for handler in merged_config(bundle, "train")["train"]["handlers"]}


_OF_ALL = set.intersection(*map(_handler_targets, PRETRAINING))
"""Handlers that every method has: they validate, save, track and report."""


def _parser(bundle: Path) -> ConfigParser:
    """The bundle's own config, made small; nothing in it opens data."""
    parser = ConfigParser(merged_config(bundle, "smoke"))
    parser.update(tiny_model(bundle) | {"image_size": SIZE, "length::samples": len(images()), "slices": None})
    return parser


def _method(bundle: Path) -> Method:
    def part(name: str) -> Any:
        return _parser(bundle).get_parsed_content(name)

    def optimizer(network: nn.Module, lr: float) -> Optimizer:
        parser = _parser(bundle)
        parser.update({"network": network, "optimizer::lr": lr})
        return parser.get_parsed_content("optimizer")

    def own_handlers() -> list[Any]:
        parser = _parser(bundle)
        return [
            parser.get_parsed_content(f"train::handlers::{number}")
            for number, handler in enumerate(parser["train::handlers"])
            if handler["_target_"] not in _OF_ALL and not handler["_target_"].endswith("Images")
        ]

    return Method(
        network=lambda: part("network_def"),
        loss=lambda: part("loss"),
        optimizer=optimizer,
        views=lambda: part("train::views"),
        inferer=lambda: part("train::inferer"),
        handlers=own_handlers,
    )


METHODS = {bundle.name.removesuffix("_pretrain"): _method(bundle) for bundle in PRETRAINING}


def learning_rate(name: str) -> float:
    """The one of the bundle's smoke.json, at which a small network learns quickly."""
    return float(_parser(next(path for path in PRETRAINING if path.name == f"{name}_pretrain"))["learning_rate"])


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
        optimizer=method.optimizer(network, lr=lr),
        loss_function=method.loss(),
        train_data_loader=endless_loader(dataset, batch_size=BATCH, num_workers=0, seed=2),  # type: ignore[arg-type]
        length=length,
        schedules=[WarmupCosine("lr", length=length, warmup_epochs=0.5, final_factor=0.1)],
        handlers=[*method.handlers(), *handlers],
        **{"views": method.views(), "inferer": method.inferer(), "precision": "fp32", **options},
    )
