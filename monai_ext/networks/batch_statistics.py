"""Batch-norm statistics of a network that has not been trained yet, so that it can be evaluated like a trained one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_ext.parallel.processes import broadcast

__all__ = ["temporary_batch_statistics"]


@contextmanager
def temporary_batch_statistics(
    network: nn.Module, forward: Callable[[Tensor], Any], batches: Iterable[Tensor]
) -> Iterator[None]:
    """Context in which the batch normalisations that ``forward`` passes have the statistics of some images.

    A network that was just built normalises with mean 0 and variance 1, whatever its activations are: in evaluation
    mode its features are far worse than those of the same random weights with fitting statistics. A comparison of
    before and after training would show the statistics, not what was learnt. Afterwards everything is as it was. No
    random number is drawn. In a distributed run all processes take the statistics of the first one's images.

    Args:
        network: whose batch normalisations are meant.
        forward: runs them, such as ``network.encoder``.
        batches: images as ``forward`` takes them, at least one batch in the first process.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]
    hooks = [norm.register_forward_pre_hook(_RunningAverage()) for norm in norms]
    try:
        with torch.no_grad(), eval_mode(network):
            for images in batches:
                forward(images)
        for hook in hooks:
            hook.remove()
        for norm in norms:
            broadcast(norm.running_mean)  # type: ignore[arg-type]
            broadcast(norm.running_var)  # type: ignore[arg-type]
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for norm, (mean, variance) in zip(norms, before, strict=True):
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]


class _RunningAverage:
    """Before a batch normalisation runs: set its statistics to the mean over all values that it has seen here."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, norm: Any, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach().transpose(0, 1).flatten(1).to(norm.running_mean.dtype)
        share = values.shape[1] / (self._count + values.shape[1])
        self._count += values.shape[1]
        if self._count == values.shape[1]:
            norm.running_mean.zero_()
            norm.running_var.zero_()
        norm.running_mean.lerp_(values.mean(dim=1), share)
        norm.running_var.lerp_(values.var(dim=1, correction=0), share)
