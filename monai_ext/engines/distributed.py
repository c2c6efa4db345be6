"""One network in several processes: wrap it for training, unwrap it for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from monai_ext.networks import synchronize_batch_norm
from monai_ext.networks.joint_batch import process_count

__all__ = [
    "channels_last_format",
    "distribute",
    "gradient_sync",
    "interleaved",
    "process_count",
    "process_rank",
    "unwrap",
]


def process_rank() -> int:
    """Rank of this process in the process group, 0 without one: the process that writes and reports."""
    return torch.distributed.get_rank() if _in_group() else 0


def distribute(network: nn.Module, *, device: torch.device | str, find_unused_parameters: bool = False) -> nn.Module:
    """The network on its device, with gradients and batch statistics joined over the process group.

    Each step equals that of one process on the joint batch: gradients are averaged, and every batch normalisation
    takes its statistics from all processes. Parameters become channels last. Without a process group the network is
    only moved.

    Args:
        network: as built, the same in every process; its batch normalisations are replaced in place.
        device: of this process.
        find_unused_parameters: for networks of which a part is frozen for some time.

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
    return DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=find_unused_parameters,
    )


def channels_last_format(network: nn.Module) -> torch.memory_format:
    """The channels-last memory format for the network's number of spatial axes."""
    volumetric = any(param.dim() == 5 for param in network.parameters())
    return torch.channels_last_3d if volumetric else torch.channels_last


def unwrap(network: Any) -> Any:
    """The network inside the wrappers of distributed training and of ``torch.compile``."""
    network = getattr(network, "_orig_mod", network)
    return network.module if isinstance(network, DistributedDataParallel) else network


def interleaved(shares: Sequence[Tensor]) -> Tensor:
    """Rows of all processes in the order of the data, of which process r of W had each W-th from row r on.

    Example:
        >>> interleaved([torch.tensor([0, 2, 4]), torch.tensor([1, 3])])
        tensor([0, 1, 2, 3, 4])
    """
    whole = shares[0].new_empty(sum(map(len, shares)), *shares[0].shape[1:])
    for rank, share in enumerate(shares):
        whole[rank :: len(shares)] = share
    return whole


def gradient_sync(network: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
    """Context of a backward pass; when not ``enabled``, a distributed network keeps its gradients to itself for now."""
    inner = getattr(network, "_orig_mod", network)
    if enabled or not isinstance(inner, DistributedDataParallel):
        return nullcontext()
    return inner.no_sync()


def _in_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
