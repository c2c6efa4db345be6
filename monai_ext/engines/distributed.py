"""One network in several processes: wrap it for training, unwrap it for everything else."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_ext.networks import synchronize_batch_norm
from monai_ext.parallel.memory_format import arrange_memory, memory_format_of
from monai_ext.parallel.processes import in_process_group

__all__ = ["distribute", "gradient_sync", "memory_formats"]


def distribute(network: nn.Module, *, device: torch.device | str, find_unused_parameters: bool = False) -> nn.Module:
    """The network on its device, with gradients and batch statistics joined over the process group.

    Each step equals that of one process on the joint batch: gradients are averaged, and every batch normalisation
    takes its statistics from all processes. Parameters get the memory format that is fastest, see
    :func:`~monai_ext.parallel.memory_format.arrange_memory`. Without a process group the network is only moved.

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
    if not in_process_group():
        return network
    network = synchronize_batch_norm(network)
    # Before wrapping: parameters whose strides change afterwards no longer fit their buckets, and gradients mix up.
    arrange_memory(network, device=device)
    return DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        find_unused_parameters=find_unused_parameters,
    )


def memory_formats(
    network: nn.Module, *, device: torch.device | str, channels_last: bool | str
) -> dict[str, torch.memory_format]:
    """Arrange the memory of a network, or tell how :func:`distribute` has done it, see
    :func:`~monai_ext.parallel.memory_format.arrange_memory`.
    """
    if not isinstance(network, DistributedDataParallel):
        return arrange_memory(network, device=device, channels_last=channels_last)
    dense_parts: tuple[str, ...] = getattr(network.module, "dense_parts", ())
    formats = {"": memory_format_of(network.module, besides=dense_parts)}
    return formats | {name: memory_format_of(network.module.get_submodule(name)) for name in dense_parts}


def gradient_sync(network: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
    """Context of a backward pass; when not ``enabled``, a distributed network keeps its gradients to itself for now."""
    inner = getattr(network, "_orig_mod", network)
    if enabled or not isinstance(inner, DistributedDataParallel):
        return nullcontext()
    return inner.no_sync()
