"""One network in several processes: wrap it for training, unwrap it for everything else."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_ext.networks import synchronize_batch_norm

__all__ = ["channels_last_format", "distribute", "gradient_sync", "process_count", "process_rank", "unwrap"]


def process_rank() -> int:
    """Rank of this process in the process group, 0 without one: the process that writes and reports."""
    return torch.distributed.get_rank() if _in_group() else 0


def process_count() -> int:
    """Number of processes that train together, 1 without a process group."""
    return torch.distributed.get_world_size() if _in_group() else 1


def distribute(network: nn.Module, *, device: torch.device | str) -> nn.Module:
    """The network on its device, with gradients and batch statistics joined over the process group.

    Each step equals that of one process on the joint batch: gradients are averaged, and every batch normalisation
    takes its statistics from all processes. Parameters become channels last. Without a process group the network is
    only moved.

    Args:
        network: as built, the same in every process; its batch normalisations are replaced in place.
        device: of this process.

    Example:
        >>> distribute(nn.Linear(2, 1), device="cpu")
        Linear(in_features=2, out_features=1, bias=True)
    """
    device = torch.device(device)
    network = network.to(device)
    if not _in_group():
        return network
    network = synchronize_batch_norm(network)
    # Before wrapping: parameters whose strides change afterwards no longer fit their buckets, and gradients mix up.
    network = network.to(memory_format=channels_last_format(network))  # type: ignore[call-overload]
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def channels_last_format(network: nn.Module) -> torch.memory_format:
    """The channels-last memory format for the network's number of spatial axes."""
    volumetric = any(param.dim() == 5 for param in network.parameters())
    return torch.channels_last_3d if volumetric else torch.channels_last


def unwrap(network: Any) -> Any:
    """The network inside the wrappers of distributed training and of ``torch.compile``."""
    network = getattr(network, "_orig_mod", network)
    return network.module if isinstance(network, DistributedDataParallel) else network


def gradient_sync(network: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
    """Context of a backward pass; when not ``enabled``, a distributed network keeps its gradients to itself for now."""
    inner = getattr(network, "_orig_mod", network)
    if enabled or not isinstance(inner, DistributedDataParallel):
        return nullcontext()
    return inner.no_sync()


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
