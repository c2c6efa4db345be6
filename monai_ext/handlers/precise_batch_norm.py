"""Batch-norm statistics of the weights as they are, before a network is judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from monai_ext.parallel.processes import process_count, process_rank, unwrap
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["PreciseBatchNorm"]


class PreciseBatchNorm:
    """At the end of each epoch, estimate the batch normalisations' statistics anew, from images of the training.

    Running averages mix the statistics of many past weights, and of augmented images. While the weights still change
    quickly, as in the first epochs of a fine-tuning, the network that is evaluated is then not the one that was
    trained: classes are ranked well, and most images get the same one. Here the statistics are plain averages over
    batches of training images as evaluation sees them, passed through the weights of this moment (Wu and Johnson 2021,
    "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576, section 3). Nothing else changes, no random number of the
    training is drawn, and the training's own steps never use these statistics.

    Batch normalisations of a frozen encoder are left alone. In a distributed run each process passes its share of
    every batch, and the batch norms, which :func:`~monai_ext.engines.distribute` has joined over the processes, come to
    the statistics of one process. Attach it before the validation.

    Args:
        dataset: training items ``{"image": (C, H, W), ...}``, prepared as for evaluation; the trainer's when omitted.
        batch_size: images at a time in each process, incomplete batches are left out; the trainer's when omitted.
        inferer: ``inferer(images, network)`` runs the forward pass; the trainer's when omitted.
        max_images: at most so many images, chosen anew in each epoch: the cost is bounded.
        seed: of the choice and the order, which mixes the classes.
        enabled: False leaves the running averages as they are.

    Raises:
        ValueError: a number is not positive.
    """

    def __init__(
        self,
        dataset: Sequence[Any] | None = None,
        *,
        batch_size: int | None = None,
        inferer: Any = None,
        max_images: int = 1024,
        seed: int = 0,
        enabled: bool = True,
    ) -> None:
        if (batch_size is not None and batch_size < 1) or max_images < 1:
            raise ValueError(f"batch_size and max_images are at least 1; received {batch_size} and {max_images}.")
        self.dataset = dataset
        self.batch_size = batch_size
        self.inferer = inferer
        self.max_images = max_images
        self.seed = seed
        self.enabled = enabled

    def attach(self, engine: Any) -> None:
        """Act at the end of the trainer's epochs."""
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._estimate)

    def _estimate(self, engine: Any) -> None:
        network = unwrap(engine.network)
        forward = _Forward(network, self.inferer or engine.inferer)
        if forward.learning:
            with preserved_random_streams():
                update_bn(self._batches(engine), forward)

    def _batches(self, engine: Any) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + engine.state.epoch)
        dataset = engine.data_loader.dataset if self.dataset is None else self.dataset
        order = torch.randperm(len(dataset), generator=generator)[: self.max_images]
        processes = process_count()
        size = max(1, min(self.batch_size or engine.data_loader.batch_size, len(order) // processes))
        for joint in order.split(size * processes):
            if len(joint) == size * processes:
                own = joint.split(size)[process_rank()].tolist()
                images = [torch.as_tensor(dataset[index]["image"]) for index in own]
                yield torch.stack(images).to(engine.state.device)


class _Forward(nn.Module):
    """The network as the inferer runs it; batch norms that are frozen keep their statistics, and use them."""

    def __init__(self, network: nn.Module, inferer: Any) -> None:
        super().__init__()
        self.network = network
        self.inferer = inferer
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        learns = [any(parameter.requires_grad for parameter in norm.parameters()) for norm in norms]
        self.learning = any(learns)
        self._frozen = {norm for norm, does in zip(norms, learns, strict=True) if not does}

    def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
        return (module for module in super().modules(remove_duplicate) if module not in self._frozen)

    def train(self, mode: bool = True) -> _Forward:
        super().train(mode)
        for norm in self._frozen:
            norm.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.inferer(images, self.network)
